"""What workers and schedulers say of themselves: retained JSON, readable with any MQTT client."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

WorkerState = Literal["online", "stopped", "lost", "adopting", "adopted"]
SchedulerState = Literal["online", "stopped", "lost"]

HEARTBEAT = 5.0
"""Seconds between two statuses of a worker that has nothing new to say."""

SILENT_AFTER = 2 * HEARTBEAT + 1.0
"""Seconds without a heartbeat after which an "online" worker counts as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker process.

    Attributes:
        id: new for each start of the process.
        state: online; stopped: left politely; lost: its connection broke, or it fell silent;
            adopting: the scheduler is taking its sessions over; adopted: it has.
        sessions: client identifiers of its queue sessions.
        window: messages that each session holds at most: concurrency + prefetch.
        joins: how often a session of it has joined its group.
        tags: what is known of the device that has this name.
        at: when this was said, UTC epoch seconds by the worker's own clock.
        seq: grows with each status of this worker.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatus:
    """The scheduler of a bus; `instance` is new for each start of the process."""

    instance: str
    state: SchedulerState
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    at: float = 0.0
    db: str = ""
    version: str = ""


_json = json.JSONEncoder(separators=(",", ":")).encode
_FIELDS = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (WorkerStatus, WorkerLoad, SchedulerStatus)
}

_Status = TypeVar("_Status", WorkerStatus, WorkerLoad, SchedulerStatus)


def encode(status: WorkerStatus | WorkerLoad | SchedulerStatus) -> bytes:
    """As JSON."""
    return _json({name: getattr(status, name) for name in _FIELDS[type(status)]}).encode()


def decode(kind: type[_Status], payload: bytes) -> _Status | None:
    """A status from its JSON, fields of later versions dropped; None if it is none."""
    try:
        raw: Any = json.loads(payload)
        known = {f.name for f in fields(kind)}
        return kind(**{key: value for key, value in raw.items() if key in known})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
