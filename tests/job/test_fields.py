"""Data in either of two ways, and how it travels."""

from __future__ import annotations

import inspect
from dataclasses import field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest

from routeq_mqtt import ConfigurationError, Job, PackingError, UnknownJob, UnreadableMessage
from routeq_mqtt.jobs.codec import from_envelope, to_envelope
from routeq_mqtt.jobs.job import data_of
from routeq_mqtt.wire.envelopes.envelope import Envelope


def travel(job: Job) -> Any:
    """There and back, as bytes."""
    return from_envelope(Envelope.decode(to_envelope(job, now=1.0).encode()))


def arrive(job_class: type[Job], **data: Any) -> Any:
    return from_envelope(Envelope(id="1", job=job_class.name, data=data))


class Mail(Job):
    to: str
    subject: str = "Hello"
    tags: list[str] = []
    kind: ClassVar[str] = "mail"
    _hidden: str = "not data"

    async def handle(self) -> None: ...


def test_fields_make_a_keyword_constructor() -> None:
    job = Mail(to="a@b.c")
    assert (job.to, job.subject, job.tags) == ("a@b.c", "Hello", [])
    assert data_of(job) == {"to": "a@b.c", "subject": "Hello", "tags": []}
    assert repr(job) == "Mail(to='a@b.c', subject='Hello', tags=[])"
    assert list(inspect.signature(Mail).parameters) == ["to", "subject", "tags"]


def test_a_default_belongs_to_one_job() -> None:
    one, two = Mail(to="1"), Mail(to="2")
    one.tags.append("x")
    assert two.tags == []

    class Made(Job):
        parts: list[int] = field(default_factory=lambda: [1])

        async def handle(self) -> None: ...

    first = Made()
    first.parts.append(2)
    assert Made().parts == [1]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, "Mail needs 'to'"),
        ({"to": "x", "subjcet": "y"}, "Mail has no field 'subjcet'; did you mean 'subject'"),
        ({"to": "x", "queue": "y"}, "'queue': that is an option of its class"),
        ({"to": "x", "kind": "y"}, "Mail has no field 'kind'"),
    ],
)
def test_wrong_or_missing_arguments_fail_at_once(values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TypeError, match=wrong):
        Mail(**values)


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="Mail takes its fields by name: to=…"):
        Mail("a@b.c")  # type: ignore[call-arg]


def test_fields_are_inherited_and_a_default_may_change() -> None:
    class Base(Job):
        abstract = True
        customer: int
        note: str = "none"

    class Invoice(Base):
        note = "invoice"
        total: float

        async def handle(self) -> None: ...

    job = travel(Invoice(customer=1, total=2.5))
    assert data_of(job) == {"customer": 1, "note": "invoice", "total": 2.5}
    with pytest.raises(TypeError, match="needs 'customer', 'total'"):
        Invoice()  # type: ignore[call-arg]
    with pytest.raises(UnknownJob):
        from_envelope(Envelope(job="Base"))


def test_two_bases_give_their_fields_both() -> None:
    class WithUser(Job):
        abstract = True
        user: int

    class Plain:
        helper = "a mixin that is not a job"

    class Both(Plain, WithUser):
        what: str

        async def handle(self) -> None: ...

    assert data_of(travel(Both(user=1, what="x"))) == {"user": 1, "what": "x"}


def test_the_older_way() -> None:
    class SendEmailJob(Job):
        def __init__(self) -> None:
            super().__init__()
            self.to: str | None = None
            self.copies = 1
            self._client = object()

        async def handle(self) -> None: ...

    job = SendEmailJob()
    job.to = "a@b.c"
    back = travel(job)
    assert (back.to, back.copies) == ("a@b.c", 1)
    assert data_of(back) == {"to": "a@b.c", "copies": 1}


def test_the_older_way_with_annotations_besides() -> None:
    class WithFields(Job):
        to: str
        copies: int = 2

        def __init__(self) -> None:
            super().__init__()
            self.to = "nobody"

        async def handle(self) -> None: ...

    job = WithFields()
    job.to = "a@b.c"
    assert data_of(travel(job)) == {"copies": 2, "to": "a@b.c"}


def test_an_init_that_needs_arguments_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigurationError, match=r"Needs.__init__ needs to, .* annotate"):

        class Needs(Job):
            def __init__(self, to: str) -> None:
                self.to = to

            async def handle(self) -> None: ...


def test_a_job_knows_its_id_attempt_and_headers() -> None:
    envelope = Envelope(id="7", job="Mail", data={"to": "x"}, attempt=3, headers={"tenant": "t"})
    job = from_envelope(envelope)
    assert (job.job_id, job.attempts, job.headers) == ("7", 3, {"tenant": "t"})
    assert data_of(job) == {"to": "x", "subject": "Hello", "tags": []}


def test_what_cannot_travel_fails_with_the_attributes_name() -> None:
    with pytest.raises(PackingError, match=r"Mail\.subject: object .* is not str"):
        to_envelope(Mail(to="x", subject=object()), now=1.0).encode()  # type: ignore[arg-type]


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(TypeError, match="is not a job; pass an instance of a subclass of Job"):
        to_envelope(Mail, now=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "data does not fit: Mail needs 'to'"),
        ({"to": "x", "nokey": 1}, "data does not fit: Mail has no field 'nokey'"),
        ({"to": "x", "handle": 1}, "Mail has no field 'handle'"),
    ],
)
def test_data_that_does_not_fit_is_unreadable(data: dict[str, Any], why: str) -> None:
    with pytest.raises(UnreadableMessage, match=why):
        arrive(Mail, **data)


@pytest.mark.parametrize("name", ["handle", "failed", "_x", "__class__", "job_id", "max_tries"])
def test_data_of_the_older_way_cannot_reach_what_every_job_has(name: str) -> None:
    class Older(Job):
        def __init__(self) -> None:
            super().__init__()

        async def handle(self) -> None: ...

    with pytest.raises(UnreadableMessage, match=f"data.{name}"):
        arrive(Older, **{name: 1})


class Colour(Enum):
    RED = "red"


class Sensor(Job):
    at: datetime | None = None
    day: date | None = None
    clock: time | None = None
    wait: timedelta | None = None
    id: UUID | None = None
    price: Decimal | None = None
    raw: bytes = b""
    ratio: float = 0.0
    pair: tuple[int, datetime] | None = None
    many: tuple[UUID, ...] = ()
    days: set[date] = set()
    by_day: dict[str, datetime] = {}
    listed: list[Decimal] = []
    colour: Colour | None = None
    noted: Annotated[UUID | None, "a note"] = None
    either: int | datetime = 0

    async def handle(self) -> None: ...


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "json", "value"),
    [
        ("at", "2026-01-02T12:00:00+00:00", NOON),
        ("at", "2026-01-02T12:00:00Z", NOON),
        ("at", None, None),
        ("day", "2026-01-02", date(2026, 1, 2)),
        ("clock", "12:30", time(12, 30)),
        ("wait", 1.5, timedelta(seconds=1.5)),
        ("id", "00000000-0000-0000-0000-000000000007", UUID(int=7)),
        ("price", "1.20", Decimal("1.20")),
        ("price", 1.2, Decimal("1.2")),
        ("raw", "AP8=", b"\x00\xff"),
        ("ratio", 1, 1.0),
        ("pair", [1, "2026-01-02T12:00:00+00:00"], (1, NOON)),
        ("many", ["00000000-0000-0000-0000-000000000007"], (UUID(int=7),)),
        ("days", ["2026-01-02"], {date(2026, 1, 2)}),
        ("by_day", {"x": "2026-01-02T12:00:00+00:00"}, {"x": NOON}),
        ("listed", ["1.20"], [Decimal("1.20")]),
        ("colour", "red", Colour.RED),
        ("colour", None, None),
        ("noted", "00000000-0000-0000-0000-000000000007", UUID(int=7)),
        ("either", "2026-01-02", "2026-01-02"),  # which one was meant cannot be known
        ("at", 7, 7),  # nothing is checked, as everywhere in Python
    ],
)
def test_values_of_json_become_what_the_annotation_says(name: str, json: Any, value: Any) -> None:
    found = getattr(arrive(Sensor, **{name: json}), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "json"),
    [("at", "yesterday"), ("id", "7"), ("price", "much"), ("raw", "%"), ("colour", "blue"),
     ("wait", 1e300), ("days", ["x"])],
)  # fmt: skip
def test_a_value_that_does_not_say_it_is_unreadable_by_its_name(name: str, json: Any) -> None:
    with pytest.raises(UnreadableMessage, match=rf"^data\.{name}="):
        arrive(Sensor, **{name: json})


def test_every_type_survives_as_itself() -> None:
    job = Sensor(at=NOON, id=UUID(int=7), price=Decimal("1.20"), raw=b"\xff", pair=(1, NOON))
    back = travel(job)
    assert data_of(back) == data_of(job)
    assert type(back.pair) is tuple


def test_a_job_may_have_no_data() -> None:
    class Ping(Job):
        async def handle(self) -> None: ...

    assert data_of(travel(Ping())) == {}
