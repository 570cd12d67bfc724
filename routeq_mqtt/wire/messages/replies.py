"""What the scheduler replies: a dataclass and a decoder for each kind of reply."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.rates import is_rate

if TYPE_CHECKING:
    from routeq_mqtt.wire.messages.status import SchedulerState

_R = TypeVar("_R")

Fate = Literal["cancelled", "asked", "over"]
JobState = Literal[
    "delayed", "parked", "held", "limited", "waiting", "running", "done", "failed", "cancelled",
    "unknown", "pending",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The scheduler's status, and what its clock says: `now`, UTC epoch seconds.

    Attributes:
        unowned: sessions that are members of a group, and whose worker has no status.
    """

    instance: str
    state: SchedulerState = "online"
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    at: float = 0.0
    db: str = ""
    version: str = ""
    now: float | None = None
    unowned: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """Jobs of one queue in each state; `paused` and `rate`: what was ordered of it."""

    delayed: int = 0
    parked: int = 0
    released: int = 0
    held: int = 0
    limited: int = 0
    failed: int = 0
    paused: bool = False
    rate: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedShort:
    """A failed record in a list."""

    id: str
    queue: str
    job: str | None = None
    reason: str = ""
    error: str = ""
    worker: str | None = None
    failed_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedShown:
    """A failed record as a whole.

    Attributes:
        attempts: the error of each attempt.
        envelope: the message's bytes as they came.
        data: what the job was given; None: it is unreadable.
        note: why a sealed record is shown as it is; set where it was asked for.
    """

    id: str
    queue: str
    job: str | None = None
    reason: str = ""
    error: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    worker: str | None = None
    failed_at: float = 0.0
    envelope: bytes = b""
    data: dict[str, Any] | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A failed record that does not run again, and why."""

    id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """Ids of failed jobs that run again, and those that do not."""

    retried: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How many were forgotten."""

    forgotten: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many jobs were purged."""

    purged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderShown:
    """An order that holds, and since when: UTC epoch seconds."""

    kind: str
    name: str
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerShown:
    """A trigger, see `wire.trigger`."""

    pattern: str
    job: str
    queue: str
    with_topic: bool = False
    payload: str | None = None
    maps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswer:
    """Where a job is, or what became of it.

    Attributes:
        state: "pending": it has not ended; else as `bus.status` says it.
        value: what it returned, packed; None: nothing was kept.
        progress: of a running job that tells it: done, total and note.
    """

    state: JobState
    attempt: int | None = None
    value: bytes | None = None
    job: str | None = None
    reason: str | None = None
    error: str | None = None
    worker: str | None = None
    progress: list[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShown:
    """How far a batch is; times are UTC epoch seconds."""

    id: str
    name: str | None = None
    created_at: float = 0.0
    open: bool = False
    total: int = 0
    pending: int = 0
    failed: int = 0
    cancelled: int = 0
    called_off: bool = False
    finished_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutCounts:
    """The counters of a broadcast; times are UTC epoch seconds.

    Attributes:
        total: devices.
        pending: those that have not done it yet.
        aborted_at: when too many had failed; None: they have not.
    """

    id: str
    name: str = "?"
    created_at: float = 0.0
    total: int = 0
    pending: int = 0
    failed: int = 0
    cancelled: int = 0
    called_off: bool = False
    finished_at: float | None = None
    aborted_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutShown(RolloutCounts):
    """How far a broadcast is."""

    running: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleShown:
    """A schedule; times are UTC epoch seconds. `declared`: a worker that is known declares it."""

    name: str
    job: str = "?"
    queue: str | None = None
    every: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    missed: str = "once"
    paused: bool = False
    next_at: float = 0.0
    last_at: float | None = None
    declared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceShown:
    """A device that the scheduler knows; `seen_at`: when it was heard last, UTC epoch seconds."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    seen_at: float = 0.0
    online: bool = False


# -- decoders ----------------------------------------------------------------------------------

_MANY = 10_000_000
_text = checks.any_words("a text", 1_000_000)
_count = checks.count("a number", -(1 << 53))
_time = checks.number("a time", -1e300, 1e300)


def _flag(value: Any) -> bool:  # noqa: ANN401 - whatever came
    """SQLite has 0 and 1."""
    if type(value) is not bool and value not in (0, 1):
        checks.refuse("a flag", value, "true or false")
    return bool(value)


def _rate(value: Any) -> tuple[float, float]:  # noqa: ANN401 - whatever came
    if not is_rate(value):
        checks.refuse("rate", value, "[jobs, seconds]")
    return float(value[0]), float(value[1])


def _progress(value: Any) -> list[Any]:  # noqa: ANN401 - whatever came
    if type(value) is not list or len(value) != 3:
        checks.refuse("progress", value, "a list of done, total and note")
    return [_time(value[0]), checks.or_none(_time)(value[1]), _text(value[2])]


_TYPES: dict[str, checks.Check] = {
    "str": _text,
    "int": _count,
    "float": _time,
    "bool": _flag,
    "bytes": checks.raw("bytes"),
    "list[str]": checks.list_of("texts", _text, most=_MANY),
    "dict[str, str]": checks.map_of("texts", _text, _text, most=_MANY),
    "dict[str, Any]": checks.text_map("a map"),
    "list[dict[str, Any]]": checks.flat_maps("attempts"),
    "tuple[float, float]": _rate,
    "list[Any]": _progress,
    "SchedulerState": checks.word("state", "online", "stopped", "lost"),
    "JobState": checks.word("state", *JobState.__args__),  # type: ignore[attr-defined]
}


def read(kind: type[_R], value: Any) -> _R:  # noqa: ANN401 - whatever came
    """One reply of a kind, from a map. Fields of later versions are left out.

    Raises:
        UnreadableMessage: it is invalid; says which field is wrong, and how.
    """
    if type(value) is not dict:
        raise UnreadableMessage(f"a reply is a map, not {type(value).__name__}")
    values = checks.read_fields(value, _checks_of(kind))
    try:
        return kind(**values)
    except TypeError as error:  # a field is missing
        raise UnreadableMessage(f"a reply is incomplete: {error}"[:200]) from None


def _checks_of(kind: type) -> dict[str, checks.Check]:
    found = _CHECKS.get(kind)
    if found is None:
        found = _CHECKS[kind] = {
            spec.name: _named(spec.name, _TYPES[str(spec.type).removesuffix(" | None")])
            for spec in fields(kind)
        }
    return found


def _named(name: str, check: checks.Check) -> checks.Check:
    def named(value: Any) -> Any:  # noqa: ANN401 - whatever came
        try:
            return check(value)
        except UnreadableMessage as error:
            raise UnreadableMessage(f"{name}: {error}") from None

    return named


_CHECKS: dict[type, dict[str, checks.Check]] = {}


def know(types: dict[str, checks.Check]) -> None:
    """Check further types of fields, by their annotations."""
    _TYPES.update(types)


def read_list(kind: type[_R], value: Any) -> list[_R]:  # noqa: ANN401 - whatever came
    """A list of replies of a kind; raises as `read` does."""
    if type(value) is not list:
        raise UnreadableMessage(f"a reply is a list, not {type(value).__name__}")
    return [read(kind, one) for one in value]


def read_map_of(kind: type[_R], value: Any) -> dict[str, _R]:  # noqa: ANN401 - whatever came
    """A map of replies of a kind; raises as `read` does."""
    return {name: read(kind, one) for name, one in checks.text_map("a reply")(value).items()}


def read_fates(value: Any) -> dict[str, Fate]:  # noqa: ANN401 - whatever came
    """What became of each job that was to be cancelled; raises as `read` does."""
    fate = checks.word("a fate", "cancelled", "asked", "over")
    return cast("dict[str, Fate]", checks.map_of("fates", _text, fate, most=_MANY)(value))


def read_text(value: Any) -> str:  # noqa: ANN401 - whatever came
    """A text; raises as `read` does."""
    return str(_text(value))


def read_texts(value: Any) -> list[str]:  # noqa: ANN401 - whatever came
    """A list of texts; raises as `read` does."""
    return [str(one) for one in checks.list_of("a list", _text, most=_MANY)(value)]


def read_time(value: Any) -> float:  # noqa: ANN401 - whatever came
    """A moment; raises as `read` does."""
    return float(_time(value))


def read_flag(value: Any) -> bool:  # noqa: ANN401 - whatever came
    """Yes or no; raises as `read` does."""
    return _flag(value)


know({"list[Skipped]": lambda value: read_list(Skipped, value)})
