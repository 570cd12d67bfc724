"""The workers of a bus, folded from their retained messages."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.presence.status import WIRE, WorkerLoad, WorkerStatus
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    from routeq_mqtt.topics import Topics


log: logging.Logger = logging.getLogger(__name__)


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
        self._online: dict[str, WorkerStatus] = {}
        self._serving: dict[str, dict[str, WorkerStatus]] = {}
        self._complaints = Complaints(log)

    def filters(self) -> tuple[str, str]:
        """What to subscribe to."""
        return self._topics.worker("+"), self._topics.running("+")

    def fold(self, topic: str, payload: bytes, *, now: float) -> str | None:
        """Take a message in; the id of the worker that it is about, or None.

        One that cannot be read changes nothing.
        """
        worker = self._topics.worker_of(topic)
        if worker is None:
            return None
        try:
            if topic == self._topics.worker(worker):
                self._fold_status(worker, payload, now)
            else:
                self._fold_load(worker, payload)
        except UnreadableMessage as error:
            self._complaints.note(topic, error)
        return worker

    def _fold_load(self, worker: str, payload: bytes) -> None:
        if payload:
            self.members.setdefault(worker, Member()).load = WorkerLoad.decode(payload)
        elif worker in self.members:
            self.members[worker].load = WorkerLoad()

    def _fold_status(self, worker: str, payload: bytes, now: float) -> None:
        if not payload:
            self.forget(worker)
            return
        status = WorkerStatus.decode(payload)
        if status.id != worker:
            raise UnreadableMessage(f"id={shown(status.id)} is not the worker of this topic")
        member = self.members.setdefault(worker, Member())
        member.status = status
        member.heard_at = now
        self._index(worker, status if status.state == "online" else None)

    def forget(self, worker: str) -> None:
        """It has no status any more."""
        self.members.pop(worker, None)
        self._index(worker, None)

    def _index(self, worker: str, status: WorkerStatus | None) -> None:
        """Find it by its queues from now on; None: it is not online."""
        before = self._online.pop(worker, None)
        if before is not None:
            for queue in before.queues:
                serving = self._serving.get(queue, {})
                serving.pop(worker, None)
                if not serving:
                    self._serving.pop(queue, None)
        if status is not None:
            self._online[worker] = status
            for queue in status.queues:
                self._serving.setdefault(queue, {})[worker] = status

    def standing(self, worker: str) -> tuple[str, int] | None:
        """State of a worker and how often it joined a group; None: it has no status."""
        member = self.members.get(worker)
        if member is None or member.status is None:
            return None
        return member.status.state, member.status.joins

    def has_earlier_version(self) -> bool:
        """Whether there is a worker of a version that knows no tokens; see `status.WIRE`."""
        return any(
            member.status is not None and member.status.wire < WIRE
            for member in self.members.values()
        )

    def online(self, queue: str | None = None) -> list[WorkerStatus]:
        """Live workers, of one queue or of all."""
        found = self._online if queue is None else self._serving.get(queue, {})
        return list(found.values())

    def queues(self) -> set[str]:
        """Queues that live workers serve."""
        return set(self._serving)

    def waiting(self, queue: str) -> int:
        """Jobs of a queue that workers hold and have not started."""
        return sum(m.load.waiting.get(queue, 0) for m in self.members.values() if m.status)

    def running(self, queue: str) -> int:
        """Jobs of a queue that workers run."""
        return sum(m.load.active.get(queue, 0) for m in self.members.values() if m.status)
