"""Requests to the scheduler: one dataclass for each method of ``routeq/rpc/…``, used by both sides.

The scheduler reads the arguments with `read`, who asks reads the reply with `read_reply`; either
returns a value or raises `UnreadableMessage`. `docs/wire-format.md` shows them (`shown`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages import replies
from routeq_mqtt.wire.messages.request import R, Request
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.rates import is_rate

_MOST = 100_000
_id = checks.text("id", 400)
_name = checks.text("name", 400)
_MOST_CANCELLED = 10_000
_ids = checks.list_of("ids", _id, most=_MOST_CANCELLED)
_tags = checks.map_of(
    "where", checks.words("a tag", 1_000), checks.words("a tag's value", 10_000), most=1_000
)
_broadcast = checks.text("id", 60)
"""Short: a device's name is put behind it."""


def _some_ids(value: Any) -> list[str]:  # noqa: ANN401 - whatever came
    if not (listed := _ids(value)):
        checks.refuse("ids", value, f"a list of 1 to {_MOST_CANCELLED:,} job ids")
    return listed  # type: ignore[no-any-return]


def _rate(value: Any) -> tuple[float, float]:  # noqa: ANN401 - whatever came
    if not is_rate(value):
        checks.refuse("rate", value, "(jobs, seconds), for example (100, 60), of at least one job")
    return float(value[0]), float(value[1])


def _envelope(value: Any) -> bytes:  # noqa: ANN401 - whatever came
    """Bytes in msgpack; in JSON the envelope itself, or its text."""
    if type(value) is dict:
        return pack(value)
    return value.encode() if type(value) is str else _bytes(value)


_bytes = checks.raw("envelope")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedSchedule:
    """A schedule, and the job that it sends; see `routeq_mqtt.jobs.schedule`."""

    name: str
    envelope: bytes
    every: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    missed: str = "once"


_SCHEDULE: dict[str, checks.Check] = {
    "name": checks.text("schedules: name", 150),
    "envelope": _envelope,
    "every": checks.number("schedules: every", 1.0, 1e10),
    "cron": checks.text("schedules: cron", 1_000),
    "timezone": checks.text("schedules: timezone", 200),
    "missed": checks.word("schedules: missed", "skip", "once", "all"),
}


def _schedule(value: Any) -> AnnouncedSchedule:  # noqa: ANN401 - whatever came
    values = checks.read_fields(checks.text_map("schedules")(value), _SCHEDULE)
    missing = {"name", "envelope"} - values.keys()
    if missing:
        raise UnreadableMessage(f"schedules: the field `{min(missing)}` is missing")
    return AnnouncedSchedule(**values)


_schedules = checks.list_of("schedules", _schedule, most=_MOST)


@dataclass(frozen=True, kw_only=True)
class _OneOf(Request[R]):
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "id": _id,
    }

    id: str


@dataclass(frozen=True, kw_only=True)
class _Records(Request[R]):
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "ids": checks.list_of("ids", _id, most=_MOST),
        "all": checks.boolean("all"),
        "queue": checks.queue("queue"),
    }

    ids: list[str] = field(default_factory=list)
    all: bool = False
    queue: str | None = None


@dataclass(frozen=True, kw_only=True)
class _OfQueue(Request[R]):
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "queue": checks.queue("queue"),
    }

    queue: str


@dataclass(frozen=True, kw_only=True)
class _OfWorker(Request[R]):
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "worker": checks.queue("worker"),
    }

    worker: str


@dataclass(frozen=True, kw_only=True)
class _Named(Request[R]):
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "name": _name,
    }

    name: str


@dataclass(frozen=True, kw_only=True)
class Ping(Request[replies.Pong]):
    """Whether the scheduler is there."""

    METHOD: ClassVar[str] = "ping"
    REPLY: ClassVar[str] = (
        "map: its status, `now`, and `unowned`: sessions whose worker has no status"
    )


@dataclass(frozen=True, kw_only=True)
class Sizes(Request[dict[str, replies.QueueCounts]]):
    """How many jobs of each queue are in each state."""

    METHOD: ClassVar[str] = "sizes"
    REPLY: ClassVar[str] = "map: queue -> counts of each state, `paused`, `rate`"


@dataclass(frozen=True, kw_only=True)
class FailedList(Request[list[replies.FailedShort]]):
    """Failed records, newest first."""

    METHOD: ClassVar[str] = "failed.list"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "queue": checks.queue("queue"),
        "limit": checks.count("limit", 1),
        "job": checks.text("job", 200),
        "before": checks.number("before", 0.0, 1e12),
        "after_id": checks.text("after_id", 1_000),
    }
    REPLY: ClassVar[str] = (
        "list of maps, 1,000 at most; with `before` and `after_id`: those behind the record that "
        "failed at that moment and has that id"
    )

    queue: str | None = None
    limit: int = 100
    job: str | None = None
    before: float | None = None
    after_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class FailedShow(_OneOf[replies.FailedShown]):
    """One failed record as a whole."""

    METHOD: ClassVar[str] = "failed.show"
    REPLY: ClassVar[str] = "map: the record, and `data`"


@dataclass(frozen=True, kw_only=True)
class FailedRetry(_Records[replies.Retried]):
    """Run failed jobs again, from their first attempt: those that are named, or all."""

    METHOD: ClassVar[str] = "failed.retry"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "map: `retried`, `skipped`"


@dataclass(frozen=True, kw_only=True)
class FailedForget(_Records[replies.Forgotten]):
    """Delete failed records: those that are named, or all."""

    METHOD: ClassVar[str] = "failed.forget"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "map: `forgotten`"


@dataclass(frozen=True, kw_only=True)
class FailedFlush(Request[replies.Forgotten]):
    """Delete all failed records, or all of one queue."""

    METHOD: ClassVar[str] = "failed.flush"
    ACTS: ClassVar[bool] = True
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "queue": checks.queue("queue"),
    }
    REPLY: ClassVar[str] = "map: `forgotten`"

    queue: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cancel(Request[dict[str, replies.Fate]]):
    """Cancel jobs wherever they are."""

    METHOD: ClassVar[str] = "cancel"
    ACTS: ClassVar[bool] = True
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "ids": _some_ids,
    }
    REPLY: ClassVar[str] = "map: id -> `cancelled`, `asked`, `over`"
    ABOUT_JOBS: ClassVar[bool] = True

    ids: list[str]


@dataclass(frozen=True, kw_only=True)
class QueuePause(_OfQueue[None]):
    """Start no more jobs of a queue."""

    METHOD: ClassVar[str] = "queue.pause"
    ACTS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class QueueResume(_OfQueue[None]):
    """Start jobs of a paused queue again."""

    METHOD: ClassVar[str] = "queue.resume"
    ACTS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class QueueLimit(Request[None]):
    """Limit the rate of a queue; a rate of null removes the limit."""

    METHOD: ClassVar[str] = "queue.limit"
    ACTS: ClassVar[bool] = True
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "queue": checks.queue("queue"),
        "rate": _rate,
    }

    queue: str
    rate: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class QueuePurge(_OfQueue[replies.Purged]):
    """Cancel all jobs of a queue that no worker has started."""

    METHOD: ClassVar[str] = "queue.purge"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "map: `purged`"
    ABOUT_JOBS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class WorkerDrain(_OfWorker[None]):
    """A worker, by its id or name, takes no new jobs."""

    METHOD: ClassVar[str] = "worker.drain"
    ACTS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class WorkerUndrain(_OfWorker[None]):
    """A drained worker takes jobs again."""

    METHOD: ClassVar[str] = "worker.undrain"
    ACTS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Orders(Request[list[replies.OrderShown]]):
    """The orders that hold."""

    METHOD: ClassVar[str] = "orders"
    REPLY: ClassVar[str] = "list of maps: `kind`, `name`, `at`"


@dataclass(frozen=True, kw_only=True)
class TriggerAdd(Request[replies.TriggerShown]):
    """Make jobs of the messages that match a pattern."""

    METHOD: ClassVar[str] = "trigger.add"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "pattern": checks.text("pattern", 65_535),
        "job": checks.text("job", 200),
        "queue": checks.queue("queue"),
        "with_topic": checks.boolean("with_topic"),
        "payload": checks.word("payload", "bytes", "text"),
        "maps": checks.boolean("maps"),
    }
    REPLY: ClassVar[str] = "map: the trigger"

    pattern: str
    job: str
    queue: str
    with_topic: bool = False
    payload: str | None = None
    maps: bool = True


@dataclass(frozen=True, kw_only=True)
class TriggerList(Request[list[replies.TriggerShown]]):
    """All triggers."""

    METHOD: ClassVar[str] = "trigger.list"
    REPLY: ClassVar[str] = "list of maps"


@dataclass(frozen=True, kw_only=True)
class TriggerForget(Request[replies.Forgotten]):
    """Forget the triggers of a pattern."""

    METHOD: ClassVar[str] = "trigger.forget"
    ACTS: ClassVar[bool] = True
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "pattern": checks.text("pattern", 65_535),
    }
    REPLY: ClassVar[str] = "map: `forgotten`"

    pattern: str


@dataclass(frozen=True, kw_only=True)
class Result(Request[replies.JobAnswer]):
    """What a job returned, or how else it ended; waits for it, 60 seconds at most."""

    METHOD: ClassVar[str] = "result"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "id": _id,
        "wait": checks.seconds("wait"),
    }
    REPLY: ClassVar[str] = "map: `state`, and `value`, `reason`, `error`"
    ABOUT_JOBS: ClassVar[bool] = True

    id: str
    wait: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Status(_OneOf[replies.JobAnswer]):
    """Where a job is."""

    METHOD: ClassVar[str] = "status"
    REPLY: ClassVar[str] = "map: `state`, and `attempt`, `worker`, `progress`, `reason`, `error`"
    ABOUT_JOBS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Find(Request[list[str]]):
    """Ids of known jobs that begin with a text."""

    METHOD: ClassVar[str] = "find"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "prefix": checks.text("prefix", 400),
    }
    REPLY: ClassVar[str] = "list of ids, 20 at most"
    ABOUT_JOBS: ClassVar[bool] = True

    prefix: str


@dataclass(frozen=True, kw_only=True)
class BatchShow(_OneOf[replies.BatchShown]):
    """How far a batch is."""

    METHOD: ClassVar[str] = "batch.show"
    REPLY: ClassVar[str] = "map"
    ABOUT_JOBS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class BatchCancel(_OneOf[replies.BatchShown]):
    """Cancel the jobs of a batch, or of a broadcast, that are not over."""

    METHOD: ClassVar[str] = "batch.cancel"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "map"
    ABOUT_JOBS: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class ScheduleAnnounce(Request[None]):
    """Take in schedules; one that is known keeps its ticks."""

    METHOD: ClassVar[str] = "schedule.announce"
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "schedules": _schedules,
    }

    schedules: list[AnnouncedSchedule]


@dataclass(frozen=True, kw_only=True)
class ScheduleList(Request[list[replies.ScheduleShown]]):
    """All schedules."""

    METHOD: ClassVar[str] = "schedule.list"
    REPLY: ClassVar[str] = "list of maps"


@dataclass(frozen=True, kw_only=True)
class ScheduleRun(_Named[str]):
    """Run the job of a schedule now."""

    METHOD: ClassVar[str] = "schedule.run"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "id of the job"


@dataclass(frozen=True, kw_only=True)
class SchedulePause(_Named[bool]):
    """No more ticks of a schedule."""

    METHOD: ClassVar[str] = "schedule.pause"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "true"


@dataclass(frozen=True, kw_only=True)
class ScheduleResume(_Named[float]):
    """Ticks again."""

    METHOD: ClassVar[str] = "schedule.resume"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "time of the next tick"


@dataclass(frozen=True, kw_only=True)
class ScheduleForget(_Named[bool]):
    """Delete a schedule."""

    METHOD: ClassVar[str] = "schedule.forget"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "true"


@dataclass(frozen=True, kw_only=True)
class DeviceList(Request[list[replies.DeviceShown]]):
    """All devices that the scheduler knows."""

    METHOD: ClassVar[str] = "device.list"
    REPLY: ClassVar[str] = "list of maps"


@dataclass(frozen=True, kw_only=True)
class DeviceForget(_Named[str]):
    """Forget a device that is gone."""

    METHOD: ClassVar[str] = "device.forget"
    ACTS: ClassVar[bool] = True
    REPLY: ClassVar[str] = "its name"


@dataclass(frozen=True, kw_only=True)
class DeviceBroadcast(Request[str]):
    """One job for each device that has some tags."""

    METHOD: ClassVar[str] = "device.broadcast"
    ACTS: ClassVar[bool] = True
    CHECKS: ClassVar[dict[str, checks.Check]] = {
        "id": _broadcast,
        "envelope": _envelope,
        "where": _tags,
        "every": checks.number("every", 1e-6, 1e9),
        "abort_after": checks.number("abort_after", 1e-9, 1e9),
    }
    REPLY: ClassVar[str] = "id of the broadcast"

    id: str
    envelope: bytes
    where: dict[str, str]
    every: float | None = None
    abort_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutShow(_OneOf[replies.RolloutShown]):
    """How far a broadcast is."""

    METHOD: ClassVar[str] = "rollout.show"
    REPLY: ClassVar[str] = "map"


Method = Callable[[Any], Awaitable[object]]
"""Answers requests of one kind."""

Methods = dict[type[Request[Any]], Method]

ALL: tuple[type[Request[Any]], ...] = (
    Ping,
    Sizes,
    FailedList,
    FailedShow,
    FailedRetry,
    FailedForget,
    FailedFlush,
    Cancel,
    QueuePause,
    QueueResume,
    QueueLimit,
    QueuePurge,
    WorkerDrain,
    WorkerUndrain,
    Orders,
    TriggerAdd,
    TriggerList,
    TriggerForget,
    Result,
    Status,
    Find,
    BatchShow,
    BatchCancel,
    ScheduleAnnounce,
    ScheduleList,
    ScheduleRun,
    SchedulePause,
    ScheduleResume,
    ScheduleForget,
    DeviceList,
    DeviceForget,
    DeviceBroadcast,
    RolloutShow,
)
"""Those of buses and workers; `wire/observe/catalogue.py` has all there are."""
