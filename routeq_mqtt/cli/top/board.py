"""What `top` knows: folded from retained topics, with a little history of each queue."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from routeq_mqtt.cli.top.details import Detail
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe.numbers import Alert, Alerts, QueueNumbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from routeq_mqtt.presence.fleet import Member
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.wire.observe.answers import FailedGroup

log: logging.Logger = logging.getLogger(__name__)

_HISTORY = 30
_UNKNOWN = Detail()


@dataclass(slots=True)
class QueueLine:
    """One queue: its numbers, and how many jobs ended between the last looks at it."""

    numbers: QueueNumbers
    ended: deque[int] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that a worker runs; `progress`: done, total and note.

    Attributes:
        job, queue: as its worker has answered; None: it has not.
    """

    id: str
    attempt: int
    worker: str
    job: str | None = None
    queue: str | None = None
    progress: Sequence[Any] | None = None


class Board:
    """Takes messages in.

    Args:
        topics: of the bus.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._complaints = Complaints(log)
        self.fleet: Fleet = Fleet(topics)
        self.queues: dict[str, QueueLine] = {}
        self.alerts: list[Alert] = []
        self.failures: list[FailedGroup] = []
        self.details: Mapping[str, Detail] = {}

    def filters(self) -> list[str]:
        """What to subscribe to."""
        return [*self.fleet.filters(), self._topics.numbers("+"), self._topics.alerts]

    def take(self, message: Message, now: float) -> None:
        """Take one message in, at a time of the monotonic clock; an unreadable one is left out."""
        topic, payload = message.topic, message.payload
        try:
            if topic == self._topics.alerts:
                self.alerts = Alerts.decode(payload).alerts if payload else []
            elif topic.startswith(self._topics.numbers("")):
                self._take_queue(topic.removeprefix(self._topics.numbers("")), payload)
            else:
                self.fleet.fold(topic, payload, now=now)
        except UnreadableMessage as error:
            self._complaints.note(topic, error)

    def _take_queue(self, queue: str, payload: bytes) -> None:
        if not payload:
            self.queues.pop(queue, None)
            return
        numbers = QueueNumbers.decode(payload)
        line = self.queues.get(queue)
        if line is None:
            line = self.queues[queue] = QueueLine(numbers)
            line.total = numbers.done_total + numbers.failed_total
        line.numbers = numbers

    def tick(self) -> None:
        """One step of the history: what ended since the last one."""
        for line in self.queues.values():
            total = line.numbers.done_total + line.numbers.failed_total
            line.ended.append(max(0, total - line.total))
            line.total = total

    def running(self) -> list[RunningJob]:
        """What workers run, as they report it, and what is known of each job."""
        found: list[RunningJob] = []
        for worker, one in sorted(self.fleet.members.items()):
            for job, attempt in one.load.running.items():
                detail = self.details.get(job, _UNKNOWN)
                progress = one.load.progress.get(job)
                found.append(
                    RunningJob(
                        id=job, attempt=attempt, worker=worker, job=detail.job,
                        queue=detail.queue, progress=progress,
                    )
                )  # fmt: skip
        return found

    def workers(self) -> list[Member]:
        """Those that are not over."""
        return [
            one
            for _, one in sorted(self.fleet.members.items())
            if one.status is not None and one.status.state != "adopted"
        ]

    def plain(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "queues": [asdict(line.numbers) for _, line in sorted(self.queues.items())],
            "running": [asdict(one) for one in self.running()],
            "workers": [
                asdict(one.status) | {"load": asdict(one.load)}
                for one in self.workers()
                if one.status is not None
            ],
            "failures": [asdict(group) for group in self.failures],
            "alerts": [asdict(alert) for alert in self.alerts],
        }
