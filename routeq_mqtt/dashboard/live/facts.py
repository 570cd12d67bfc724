"""What is true now, from retained messages alone: who looks costs the scheduler nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.send.retained import Retained
from routeq_mqtt.errors import RouteqError, UnreadableMessage
from routeq_mqtt.presence.reports import Reports
from routeq_mqtt.presence.status import SILENT_AFTER
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe.numbers import Alerts, QueueNumbers
from routeq_mqtt.wire.observe.outbox import OutboxReport

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.dashboard.redaction import Redactor
    from routeq_mqtt.presence.fleet import Member
    from routeq_mqtt.transport.base import Message

log: logging.Logger = logging.getLogger(__name__)

_MOST_RUNNING = 200
"""Running jobs of one worker that are shown."""

_MOST_OUTBOXES = 1_000

_SYS = {
    "$SYS/broker/version": "Version",
    "$SYS/broker/uptime": "Up",
    "$SYS/broker/clients/connected": "Clients connected",
    "$SYS/broker/messages/received": "Messages received",
    "$SYS/broker/messages/sent": "Messages sent",
    "$SYS/broker/retained messages/count": "Retained messages",
    "$SYS/broker/subscriptions/count": "Subscriptions",
}
"""What a broker reports about itself, where access control shows it."""

_LONGEST_SYS = 100

_FIRST_WITHIN = 3.0
"""Seconds that the first look may take: after it the broker counts as away."""


class Facts:
    """The facts of one bus, under flat keys such as ``queue/<name>`` and ``worker/<id>``.

    Args:
        bus: to look at.
        clock: tells who is silent.
        redactor: takes secrets out of what jobs report.
    """

    def __init__(self, bus: Bus, clock: Clock, redactor: Redactor) -> None:
        self._bus = bus
        self._clock = clock
        self._redactor = redactor
        self._queues: dict[str, dict[str, Any]] = {}
        self._alerts: dict[str, dict[str, Any]] = {}
        self._outboxes: Reports[OutboxReport] | None = None
        self._sys: dict[str, str] = {}
        self._complaints = Complaints(log)
        self._retained: Retained | None = None
        self._known: dict[str, Any] = {}

    async def collect(self) -> dict[str, Any]:
        """Every fact; while the broker is away the last ones, and that it is."""
        away = await self._away()
        if away:
            return {**self._known, "broker": {"online": False, "error": away}}
        around = self._bus.sender.surroundings
        status = around.scheduler
        found: dict[str, Any] = {
            "broker": {"online": True, "embedded": around.shares_queue, "sys": dict(self._sys)},
            "scheduler": None if status is None else asdict(status),
        }
        found |= {f"queue/{one['queue']}": one for one in self._queues.values()}
        found |= {f"alert/{key}": alert for key, alert in self._alerts.items()}
        for name, report in self._outboxes.latest.items() if self._outboxes else ():
            found[f"outbox/{name}"] = asdict(report) | {"id": name}
        for worker, member in self._bus.sizes.fleet.members.items():
            if member.status is not None and member.status.state != "adopted":
                found[f"worker/{worker}"] = self._worker(member)
        self._known = found
        return found

    async def _away(self) -> str:
        """Why the broker cannot be looked at; empty: it can."""
        link = self._bus.sender.link
        if self._retained is None or (link.connection is not None and not self._is_settled()):
            try:
                async with asyncio.timeout(_FIRST_WITHIN):
                    await self._listen()
            except (RouteqError, TimeoutError) as error:
                return str(link.last_error or error or "the broker does not answer")[:500]
        if link.connection is None:
            return str(link.last_error or "the connection to the broker was lost")[:500]
        return ""

    async def _listen(self) -> None:
        """Hear what is retained; after a new connection, clear what it has not brought again."""
        topics, sender = self._bus.sender.topics, self._bus.sender
        retained = self._retained
        if retained is None:
            self._outboxes = Reports(topics.outbox(""), OutboxReport.decode, most=_MOST_OUTBOXES)
            retained = Retained(sender, self._take)
            filters = [topics.numbers("+"), topics.alerts, topics.outbox("+"), *_SYS]
            await sender.listen(filters, retained)
        before = sender.connections
        await self._bus.sizes.refresh()  # our mark comes behind all that is retained
        retained.settle(before)
        self._retained = retained

    def _is_settled(self) -> bool:
        return self._retained is not None and self._retained.is_settled

    def _take(self, message: Message) -> None:
        if message.topic in _SYS:
            self._take_sys(message)
            return
        if self._outboxes is not None and self._outboxes.fold(message.topic, message.payload):
            return
        try:
            if message.topic == self._bus.sender.topics.alerts:
                alerts = Alerts.decode(message.payload).alerts if message.payload else []
                self._alerts = {alert.key: asdict(alert) for alert in alerts}
            elif message.payload:
                numbers = QueueNumbers.decode(message.payload)
                self._queues[message.topic] = asdict(numbers)
            else:
                self._queues.pop(message.topic, None)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)

    def _take_sys(self, message: Message) -> None:
        said = message.payload[:_LONGEST_SYS].decode("utf-8", "replace")
        if said:
            self._sys[_SYS[message.topic]] = said
        else:
            self._sys.pop(_SYS[message.topic], None)

    def _worker(self, member: Member) -> dict[str, Any]:
        status, load = member.status, member.load
        assert status is not None  # noqa: S101 - `collect` has looked
        state: str = status.state
        if state == "online" and self._clock.monotonic() - member.heard_at > SILENT_AFTER:
            state = "silent"
        running = sorted(load.running.items())[:_MOST_RUNNING]
        return {
            "id": status.id,
            "name": status.name,
            "state": state,
            "drained": load.drained,
            "host": status.host,
            "pid": status.pid,
            "queues": status.queues,
            "concurrency": status.concurrency,
            "tags": status.tags,
            "started_at": status.started_at,
            "version": status.version,
            "running": [
                {"id": job, "attempt": attempt, "progress": self._progress(load.progress.get(job))}
                for job, attempt in running
            ],
            "active": sum(load.active.values()),
            "waiting": sum(load.waiting.values()),
            "counters": load.counters,
        }

    def _progress(self, progress: list[Any] | None) -> list[Any] | None:
        return None if progress is None else [*progress[:2], self._redactor.data(progress[2])]
