"""The workers of a bus, folded from their retained messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_mqtt.presence.status import WorkerLoad, WorkerStatus, decode

if TYPE_CHECKING:
    from routeq_mqtt.topics import Topics


@dataclass(slots=True)
class Member:
    """One worker: what it said last, and when that reached us (monotonic seconds)."""

    status: WorkerStatus | None = None
    load: WorkerLoad = field(default_factory=WorkerLoad)
    heard_at: float = 0.0


class Fleet:
    """All workers that have a retained status.

    Args:
        topics: where to read them.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.members: dict[str, Member] = {}

    def filters(self) -> tuple[str, str]:
        """What to subscribe to."""
        return self._topics.worker("+"), self._topics.running("+")

    def fold(self, topic: str, payload: bytes, *, now: float) -> str | None:
        """Take a message in; the id of the worker that it is about, or None."""
        worker = self._topics.worker_of(topic)
        if worker is None:
            return None
        if topic == self._topics.worker(worker):
            self._fold_status(worker, payload, now)
        elif payload:
            load = decode(WorkerLoad, payload)
            if load is not None:
                self.members.setdefault(worker, Member()).load = load
        elif worker in self.members:
            self.members[worker].load = WorkerLoad()
        return worker

    def _fold_status(self, worker: str, payload: bytes, now: float) -> None:
        status = decode(WorkerStatus, payload) if payload else None
        if status is None:
            self.members.pop(worker, None)
            return
        member = self.members.setdefault(worker, Member())
        member.status = status
        member.heard_at = now

    def standing(self, worker: str) -> tuple[str, int] | None:
        """State of a worker and how often it joined a group; None: it has no status."""
        member = self.members.get(worker)
        if member is None or member.status is None:
            return None
        return member.status.state, member.status.joins

    def online(self, queue: str | None = None) -> list[WorkerStatus]:
        """Live workers, of one queue or of all."""
        return [
            member.status
            for member in self.members.values()
            if member.status is not None
            and member.status.state == "online"
            and (queue is None or queue in member.status.queues)
        ]

    def queues(self) -> set[str]:
        """Queues that live workers serve."""
        return {queue for status in self.online() for queue in status.queues}

    def waiting(self, queue: str) -> int:
        """Jobs of a queue that workers hold and have not started."""
        return sum(m.load.waiting.get(queue, 0) for m in self.members.values() if m.status)

    def running(self, queue: str) -> int:
        """Jobs of a queue that workers run."""
        return sum(m.load.active.get(queue, 0) for m in self.members.values() if m.status)
