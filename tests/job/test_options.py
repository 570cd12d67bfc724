"""Options: checked where they are written, set in the class or on one job."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from routeq_mqtt import ConfigurationError, DuplicateJobName, Exponential, Job, UnknownJob
from routeq_mqtt.errors import Retry
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.backoff import seconds_before
from routeq_mqtt.jobs.codec import to_envelope
from routeq_mqtt.jobs.job import data_of
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.execute.retry_policy import RetryPolicy


def define(**body: Any) -> type[Job]:
    return type("Mine", (Job,), {"handle": lambda self: None, **body})


def policy(
    job_class: type[Job], timeout: float | None = None, max_tries: int | None = None, **fields: Any
) -> RetryPolicy:
    """What holds with these flags of the worker and these fields of the envelope."""
    envelope = Envelope(job=job_class.name, **fields)
    return RetryPolicy.of(job_class, envelope, timeout=timeout, max_tries=max_tries)


def test_the_defaults_are_laravels() -> None:
    assert (Job.queue, Job.max_tries, Job.timeout, Job.retry_after) == ("default", 3, 60, 0)


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("queue", "a/b", "must not contain '/'"),
        ("queue", "a+", r"must not contain '\+'"),
        ("queue", "#", "must not contain '#'"),
        ("queue", "$x", r"must not contain '\$'"),
        ("queue", None, "must be a non-empty string"),
        ("max_tries", 0, "a whole number, 1 or more"),
        ("max_tries", 2.0, "a whole number, 1 or more"),
        ("max_tries", True, "a whole number, 1 or more"),
        ("timeout", -1, "0 seconds or more; 0 or None for no limit"),
        ("timeout", "60", "0 seconds or more"),
        ("timeout", float("nan"), "0 seconds or more"),
        ("retry_after", -0.1, "0 seconds or more"),
        ("retry_after", None, "0 seconds or more"),
        ("backoff", [], "seconds, a list of 1 to 1000 of them, or Exponential"),
        ("backoff", [1, -1], "seconds, a list"),
        ("backoff", "fast", "seconds, a list"),
        ("name", "", "a printable text of 1 to 200 characters"),
        ("name", "a\nb", "a printable text"),
    ],
)
def test_a_wrong_option_fails_with_class_option_value_and_need(
    option: str, value: Any, needed: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^Mine: {option}=.*{needed}"):
        define(**{option: value})
    assert "Mine" not in registry.names()


@pytest.mark.parametrize(
    ("written", "value", "meant"),
    [("max_retries", 5, "max_tries"), ("tries", 5, "max_tries"), ("time_limit", 5, "timeout"),
     ("max_trys", 5, "max_tries"), ("queu", "x", "queue"), ("retry_delay", 1, "retry_after")],
)  # fmt: skip
def test_a_misspelt_option_is_told_what_it_may_mean(written: str, value: Any, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{written}=.* did you mean {meant}"):
        define(**{written: value})


def test_attributes_of_ones_own_are_left_alone() -> None:
    class Fine(Job):
        TRIES = 5
        _timeout_ = 3
        tries: ClassVar[int] = 5
        names = ("a", "b")

        def timeouts(self) -> None: ...

        async def handle(self) -> None: ...

    assert data_of(Fine()) == {}


@pytest.mark.parametrize(
    "name",
    ["job_id", "attempts", "headers", "handle", "failed", "release", "unique_key", "rate_key"],
)
def test_a_field_cannot_have_the_name_of_what_every_job_has(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Mine: '{name}' is a reserved job attribute"):
        define(__annotations__={name: int})


def test_options_are_inherited() -> None:
    class Slow(Job):
        abstract = True
        timeout = 600
        queue = "slow"

    class Report(Slow):
        max_tries = 1

        async def handle(self) -> None: ...

    assert (Report.timeout, Report.queue, Report.max_tries) == (600, "slow", 1)
    assert policy(Report, timeout=5, max_tries=9) == RetryPolicy(600, 1, 0)


def test_options_of_one_job_travel_and_beat_everything() -> None:
    class Mine(Job):
        timeout = 600
        text: str = "x"

        async def handle(self) -> None: ...

    job = Mine()
    job.max_tries = 5
    job.timeout = None  # type: ignore[assignment]
    job.queue = "other"
    job.backoff = (1, 2)
    envelope = Envelope.decode(to_envelope(job, now=1.0).encode())
    assert envelope.data == {"text": "x"}
    assert (envelope.max_tries, envelope.timeout, envelope.queue) == (5, 0, "other")
    assert RetryPolicy.of(Mine, envelope, timeout=7, max_tries=1) == RetryPolicy(None, 5, [1, 2])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tries", 0),
        ("timeout", -1),
        ("queue", "a/b"),
        ("name", "x"),
        ("backoff", Exponential()),
    ],
)
def test_a_wrong_option_of_one_job_fails_at_dispatch(option: str, value: Any) -> None:
    job = define()()
    setattr(job, option, value)
    with pytest.raises(ConfigurationError, match=f"^Mine: {option}="):
        to_envelope(job, now=1.0)


def test_the_jobs_own_value_beats_the_flag_and_the_flag_the_default() -> None:
    assert policy(define(), timeout=5, max_tries=9) == RetryPolicy(5, 9, 0)
    assert policy(define(), timeout=0) == RetryPolicy(None, 3, 0)
    own = define(timeout=60, max_tries=3)  # the defaults, but written down
    assert policy(own, timeout=5, max_tries=9) == RetryPolicy(60, 3, 0)
    assert policy(define(timeout=0), timeout=5).timeout is None


def test_the_envelopes_wait_beats_the_classs_and_its_backoff_beats_its_retry_after() -> None:
    job_class = define(backoff=[1, 2])
    assert policy(job_class).backoff == [1, 2]
    assert policy(job_class, retry_after=4).backoff == 4
    assert policy(job_class, retry_after=4, backoff=5).backoff == 5
    assert policy(define(retry_after=9)).delay_before(2) == 9


def test_a_subclasss_retry_after_beats_its_bases_backoff() -> None:
    base = define(backoff=[1, 2])
    assert policy(type("Sub", (base,), {"retry_after": 9})).backoff == 9
    assert policy(type("Sub2", (base,), {"backoff": None, "retry_after": 8})).backoff == 8


def test_a_list_gives_each_attempt_its_wait_and_the_last_repeats() -> None:
    assert [seconds_before(n, [1, 5]) for n in (2, 3, 4, 100)] == [1, 5, 5, 5]
    assert seconds_before(2, 3) == 3.0


def test_exponential_doubles_up_to_its_cap() -> None:
    wait = Exponential(base=1, factor=2, cap=10, jitter=False)
    assert [wait.before(n) for n in (2, 3, 4, 5, 6, 10**9)] == [1, 2, 4, 8, 10, 10]
    assert Exponential(base=1, factor=1e300, cap=7, jitter=False).before(9) == 7


def test_jitter_takes_any_part_of_the_wait() -> None:
    assert Exponential(base=8, random=lambda: 0.25).before(2) == 2.0
    assert all(0 <= Exponential().before(5) <= 8 for _ in range(100))


@pytest.mark.parametrize(
    "options", [{"base": -1}, {"factor": 0.5}, {"cap": float("inf")}, {"base": "1"}]
)
def test_a_wrong_value_of_exponential_fails_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"Exponential: {next(iter(options))}="):
        Exponential(**options)


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_a_wrong_delay_of_retry_fails(delay: float) -> None:
    with pytest.raises(ConfigurationError, match="Retry: delay="):
        Retry(delay=delay)


def test_two_classes_with_one_name_are_an_error_that_names_both() -> None:
    class One(Job):
        name = "same"

        async def handle(self) -> None: ...

    with pytest.raises(
        DuplicateJobName, match=r"'same' is taken by .*One .*; give .*Two .*another"
    ):

        class Two(Job):
            name = "same"

            async def handle(self) -> None: ...

    assert registry.lookup("same") is One


def test_a_subclass_does_not_inherit_its_bases_wire_name() -> None:
    class Sender(Job):
        name = "send"

        async def handle(self) -> None: ...

    class Resender(Sender): ...

    assert Resender.name == "Resender"


def test_the_same_class_again_replaces_itself() -> None:
    source = (
        "from routeq_mqtt import Job\nclass Again(Job):\n    version = {}\n    handle = print\n"
    )
    for version in (1, 2):
        exec(source.format(version), {"__name__": "a_module"})  # noqa: S102 - as a reload does
    assert registry.lookup("Again").version == 2  # type: ignore[attr-defined]


def test_the_same_class_of_another_module_is_an_error() -> None:
    source = "from routeq_mqtt import Job\nclass Again(Job): handle = print\n"
    exec(source, {"__name__": "module_one"})  # noqa: S102
    with pytest.raises(DuplicateJobName, match=r"module_one\.Again .*; give module_two\.Again"):
        exec(source, {"__name__": "module_two"})  # noqa: S102


def test_an_unknown_name_is_told_which_come_close() -> None:
    define(name="send_email")
    with pytest.raises(UnknownJob, match=r"'send_emial'.*Did you mean 'send_email'.*--app MODULE"):
        registry.lookup("send_emial")


def test_handle_must_be_written() -> None:
    with pytest.raises(ConfigurationError, match=r"^Mine has no handle\(\): define `async def"):
        type("Mine", (Job,), {})
    base = type("Base", (Job,), {"abstract": True})
    with pytest.raises(ConfigurationError, match=r"^Child has no handle"):
        type("Child", (base,), {})


def test_handle_may_come_from_a_mixin() -> None:
    class Handles:
        async def handle(self) -> int:
            return 5

    class Mixed(Handles, Job): ...

    assert registry.lookup("Mixed") is Mixed


@pytest.mark.parametrize("name", ["release", "unique_key", "rate_key", "concurrency_key"])
def test_a_field_cannot_take_the_place_of_a_method(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"'{name}' is a reserved job attribute|must be a method"
    ):
        type("Shadows", (Job,), {"__annotations__": {name: str}})


def test_the_default_key_depends_on_the_data_alone() -> None:
    one = {"a": 1, "b": {"x", "y", "z"}, "c": [{"d": 1, "e": 2}]}
    other = {"c": [{"e": 2, "d": 1}], "b": {"z", "y", "x"}, "a": 1}
    assert KeyedByAll(values=one).unique_key() == KeyedByAll(values=other).unique_key()
    assert KeyedByAll(values=one).unique_key() != KeyedByAll(values={**one, "a": 2}).unique_key()
    assert KeyedByAll(values={"a": [1]}).unique_key() != KeyedByAll(values={"a": (1,)}).unique_key()


class KeyedByAll(Job):
    unique_for = 60
    values: dict[str, Any]

    async def handle(self) -> None: ...
