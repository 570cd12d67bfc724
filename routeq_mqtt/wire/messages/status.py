"""What workers and the scheduler say of themselves, as retained messages. Times are epoch seconds.

JSON, so that any MQTT client can read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.checks import read_fields, refuse
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import read_json_map

WorkerState = Literal["online", "stopped", "lost", "adopting", "adopted"]
SchedulerState = Literal["online", "stopped", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker process.

    Attributes:
        id: new for each start of the process.
        state: online; stopped: left gracefully; lost: its connection broke, or it fell silent;
            adopting: the scheduler is taking its sessions over; adopted: it has.
        sessions: client identifiers of its queue sessions, one for each queue.
        window: messages that each session holds at most: concurrency + prefetch.
        joins: how often a session of it has joined its group.
        tags: what is known of the device that has this name.
        at: when this was said, UTC epoch seconds by the worker's own clock.
        seq: grows with each status of this worker.
        wire: what it says; see `presence.status.WIRE`. 1: it is of an earlier version.
    """

    id: str
    state: WorkerState
    queues: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    concurrency: int = 0
    window: int = 0
    joins: int = 0
    name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    at: float = 0.0
    seq: int = 0
    version: str = ""
    wire: int = 1

    @classmethod
    def decode(cls, payload: bytes) -> WorkerStatus:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        raw = read_json_map(payload, "a worker's status")
        status = cls(**_required(read_fields(raw, _WORKER), "id", "state"))
        own = f"{status.id}/"
        if status.sessions and len(status.sessions) != len(status.queues):
            refuse("sessions", status.sessions, "one session for each queue, or none")
        if not all(session.startswith(own) for session in status.sessions):
            refuse("sessions", status.sessions, f"sessions of this worker, {own}…")
        return status

    def session_of(self, queue: str) -> str | None:
        """Its session for a queue that it serves; None: it has named none."""
        return self.sessions[self.queues.index(queue)] if self.sessions else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """What a worker runs and holds now, on a topic of its own: the Last Will must not wipe it.

    Attributes:
        running: job ids, each with the attempt that runs.
        waiting: jobs that it holds and has not started, for each queue.
        active: jobs that it runs, for each queue.
        counters: outcomes since the start of the process.
        progress: of running jobs that tell it: done, total and note.
        drained: it was told to take no new jobs.
    """

    running: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    progress: dict[str, list[Any]] = field(default_factory=dict)
    drained: bool = False

    @classmethod
    def decode(cls, payload: bytes) -> WorkerLoad:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        return cls(**read_fields(read_json_map(payload, "a worker's load"), _LOAD))


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatus:
    """The scheduler of a bus; `instance` is new for each start of the process.

    Attributes:
        wire: what it understands; see `presence.status.WIRE`. 1: it is of an earlier version.
        trouble: why it cannot commit now; empty: it can.
        deals: it gives each job to one worker's session, since the broker does not share.
    """

    instance: str
    state: SchedulerState
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    at: float = 0.0
    db: str = ""
    version: str = ""
    wire: int = 1
    trouble: str = ""
    deals: bool = False

    @classmethod
    def decode(cls, payload: bytes) -> SchedulerStatus:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        return cls.read(read_json_map(payload, "a scheduler's status"))

    @classmethod
    def read(cls, raw: dict[str, Any]) -> SchedulerStatus:
        """From a map, which may hold more; raises as `decode` does."""
        return cls(**_required(read_fields(raw, _SCHEDULER), "instance", "state"))


_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_FIELDS = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (WorkerStatus, WorkerLoad, SchedulerStatus)
}


def encode(status: WorkerStatus | WorkerLoad | SchedulerStatus) -> bytes:
    """As JSON; what cannot be encoded (in the name of a file) is replaced."""
    return readable(_json({name: getattr(status, name) for name in _FIELDS[type(status)]})).encode()


def _required(values: dict[str, Any], *names: str) -> dict[str, Any]:
    missing = [name for name in names if name not in values]
    if missing:
        raise UnreadableMessage(f"the field `{missing[0]}` is missing")
    return values


# No tighter than what a worker may say: 10,000 queues, a million slots, 1,000 running jobs.
_MANY = 100_000
_ids = checks.text("a job id", 200)
_queues = checks.queue("a queue")
_amount = checks.count("a number of jobs", -(1 << 53))
"""Below 0 for a moment, where a job ran that is no longer the worker's."""


def _progress(value: Any) -> list[Any]:  # noqa: ANN401 - whatever came
    if type(value) is not list or len(value) != 3:
        refuse("progress", value, "a list of done, total and note")
    return [_done(value[0]), checks.or_none(_total)(value[1]), _note(value[2])]


_done = checks.number("progress: done", -1e300, 1e300)
_total = checks.number("progress: total", -1e300, 1e300)
_note = checks.words("progress: note", 100_000)

_WORKER: dict[str, checks.Check] = {
    "id": checks.client_id("id"),
    "state": checks.word("state", "online", "stopped", "lost", "adopting", "adopted"),
    "queues": checks.list_of("queues", _queues, most=_MANY),
    "sessions": checks.list_of("sessions", checks.client_id("a session"), most=_MANY),
    "concurrency": checks.count("concurrency", 0),
    "window": checks.count("window", 0),
    "joins": checks.count("joins", 0),
    "name": checks.queue("name"),
    "tags": checks.map_of(
        "tags", checks.words("a tag", 1_000), checks.words("a tag's value", 10_000), most=1_000
    ),
    "host": checks.words("host", 1_000),
    "pid": checks.count("pid", 0),
    "started_at": checks.epoch("started_at"),
    "at": checks.epoch("at"),
    "seq": checks.count("seq", 0),
    "version": checks.words("version", 200),
    "wire": checks.count("wire", 1),
}

_LOAD: dict[str, checks.Check] = {
    "running": checks.map_of("running", _ids, checks.count("an attempt", 0), most=_MANY),
    "waiting": checks.map_of("waiting", _queues, _amount, most=_MANY),
    "active": checks.map_of("active", _queues, _amount, most=_MANY),
    "counters": checks.map_of("counters", checks.words("an outcome", 200), _amount, most=1_000),
    "progress": checks.map_of("progress", _ids, _progress, most=_MANY),
    "drained": checks.boolean("drained"),
}

_SCHEDULER: dict[str, checks.Check] = {
    "instance": checks.text("instance", 200),
    "state": checks.word("state", "online", "stopped", "lost"),
    "host": checks.words("host", 1_000),
    "pid": checks.count("pid", 0),
    "started_at": checks.epoch("started_at"),
    "at": checks.epoch("at"),
    "db": checks.words("db", 10_000),
    "trouble": checks.words("trouble", 1_000),
    "deals": checks.boolean("deals"),
    "version": checks.words("version", 200),
    "wire": checks.count("wire", 1),
}
