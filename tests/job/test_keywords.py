"""Options as class keywords, and fields that have the names of options."""

from __future__ import annotations

from dataclasses import field
from types import new_class
from typing import Any, ClassVar

import pytest

from routeq_mqtt import ConfigurationError, DuplicateJobName, Exponential, Job
from routeq_mqtt.jobs.codec import from_envelope, pack_job, to_envelope
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.execute.retry_policy import RetryPolicy


def travel(job: Job) -> Any:
    return from_envelope(Envelope.decode(pack_job(job, now=1.0)[2]))


def policy(job_class: type[Job], **sent: Any) -> RetryPolicy:
    envelope = Envelope(id="1", job="x", data={}, **sent)
    return RetryPolicy.of(job_class, envelope, timeout=7, max_tries=9)


class Greeting(Job, queue="mail", name="greeting", timeout=5, max_tries=2, retry_after=3):
    name: str
    data: bytes
    queue: int = field(default=4)
    timeout: list[float] = field(default_factory=list)

    async def handle(self) -> None: ...


class Politely(Greeting):
    """Inherits options behind the fields, all but the wire name."""

    tone: str = "kind"


class Backed(Job):
    backoff: str
    queue = "plain"

    async def handle(self) -> None: ...


def test_fields_and_options_of_one_name_are_two_things() -> None:
    job = Greeting(name="Ada", data=b"x", timeout=[1.5])
    envelope = to_envelope(job, now=1.0)
    assert (envelope.job, envelope.queue, envelope.timeout) == ("greeting", "mail", None)
    assert envelope.data == {"name": "Ada", "data": b"x", "queue": 4, "timeout": [1.5]}
    back = travel(job)
    assert (back.name, back.data, back.queue, back.timeout) == ("Ada", b"x", 4, [1.5])
    assert repr(back) == "Greeting(name='Ada', data=b'x', queue=4, timeout=[1.5])"
    assert policy(Greeting) == RetryPolicy(5, 2, 3)
    assert job.rate_key() == job.concurrency_key() == "greeting"
    assert job.unique_key() == back.unique_key()


def test_options_behind_fields_are_inherited() -> None:
    job = Politely(name="Ada", data=b"")
    envelope = to_envelope(job, now=1.0)
    assert (envelope.job, envelope.queue) == ("Politely", "mail")
    assert policy(Politely) == RetryPolicy(5, 2, 3)
    assert policy(Backed) == RetryPolicy(7, 9, 0)  # a field says nothing of the option
    assert to_envelope(Backed(backoff="text"), now=1.0).backoff is None


def test_one_job_has_options_of_its_own_behind_its_fields() -> None:
    job = Greeting(name="Ada", data=b"").with_options(queue="slow", timeout=None, max_tries=8)
    envelope = Envelope.decode(pack_job(job, now=1.0)[2])
    assert (envelope.queue, envelope.timeout, envelope.max_tries) == ("slow", 0, 8)
    assert envelope.data == {"name": "Ada", "data": b"", "queue": 4, "timeout": []}


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"max_tries": 0}, "max_tries=0 must be"),
        ({"name": "x"}, "cannot be set on one job"),
        ({"rate_limit": (1, 1)}, "cannot be set on one job"),
        ({"backoff": Exponential()}, "cannot be set on one job"),
        ({"max_trys": 3}, "did you mean max_tries"),
        ({"colour": 3}, "colour=3 is not an option"),
        ({"backoff": 1, "retry_after": 1}, "keep one of them"),
    ],
)
def test_wrong_options_of_one_job_fail_at_once(options: Any, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        Greeting(name="Ada", data=b"").with_options(**options)


@pytest.mark.parametrize(
    ("keywords", "body", "wrong"),
    [
        ({"max_tries": 0}, {}, "Wrong: max_tries=0 must be"),
        ({"max_trys": 5}, {}, "did you mean max_tries"),
        ({"delay": 5}, {}, "say it elsewhere: dispatch"),
        ({"queue": "a"}, {"queue": "b"}, "'queue' is said twice"),
        ({"backoff": 1}, {"retry_after": 1}, "keep one of them"),
        ({}, {"queue": "b", "__annotations__": {"queue": str}}, r"may be a field or the option"),
        ({}, {"__annotations__": {"release": str}}, "'release' is a reserved job attribute"),
        ({}, {"__annotations__": {"with_options": str}}, "is a reserved job attribute"),
        ({"middleware": [print]}, {}, "must be a coroutine function"),
    ],
)
def test_wrong_classes_fail_where_they_are_defined(keywords: Any, body: Any, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        new_class("Wrong", (Job,), keywords, lambda names: names.update(body))


def test_keywords_are_those_of_the_other_bases_too() -> None:
    class Mixin:
        said: ClassVar[str]

        def __init_subclass__(cls, said: str = "", **more: Any) -> None:
            super().__init_subclass__(**more)
            cls.said = said

    class Both(Job, Mixin, said="hello", max_tries=4):  # type: ignore[call-arg]
        async def handle(self) -> None: ...

    assert (Both.said, Both.max_tries) == ("hello", 4)
    with pytest.raises(ConfigurationError, match="colour='red' is not an option of a job; take"):
        new_class("Neither", (Job,), {"colour": "red"})


def test_an_abstract_base_is_not_registered_and_names_are_unique() -> None:
    class Base(Job, abstract=True, queue="base"):
        pass

    class Child(Base):
        async def handle(self) -> None: ...

    assert Child.queue == "base"
    with pytest.raises(DuplicateJobName, match="greeting"):
        new_class("Other", (Job,), {"name": "greeting"}, lambda body: body.update(handle=print))


def test_a_class_variable_is_the_option() -> None:
    class Declared(Job):
        queue: ClassVar[str] = "declared"  # type: ignore[misc]

        async def handle(self) -> None: ...

    assert to_envelope(Declared(), now=1.0).queue == "declared"
