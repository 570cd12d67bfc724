"""The outboxes of all producers, as far as they report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.presence.reports import Reports
from routeq_mqtt.scheduler.observe.exposition import family
from routeq_mqtt.wire.observe.outbox import OutboxReport

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.base import Message

_MOST = 10_000
"""Outboxes that are remembered: what a stranger publishes takes no more memory than that."""


class Outboxes:
    """Sums over all of them: a label for each would grow with the number of devices.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reports = Reports(context.topics.outbox(""), OutboxReport.decode, most=_MOST)

    def heard(self, message: Message) -> bool:
        """Take a message in; whether it was of an outbox."""
        return self._reports.fold(message.topic, message.payload) is not None

    @property
    def jobs(self) -> int:
        """That wait in all of them."""
        return sum(one.jobs for one in self._reports.latest.values())

    @property
    def oldest(self) -> OutboxReport | None:
        """The one whose first job has waited longest; None: nothing waits."""
        waiting = [one for one in self._reports.latest.values() if one.oldest_at is not None]
        return min(waiting, key=lambda one: one.oldest_at or 0.0, default=None)

    def age(self, oldest: OutboxReport | None) -> float:
        """Seconds that the first job of an outbox has waited; 0: none waits."""
        if oldest is None or oldest.oldest_at is None:
            return 0.0
        return max(0.0, self._context.clock.now() - oldest.oldest_at)

    def lines(self) -> list[str]:
        """The metrics."""
        reports = self._reports.latest.values()
        return [
            *family(
                "routeq_outbox_reporting", "gauge", "Outboxes with jobs in them.",
                [({}, len(reports))],
            ),
            *family(
                "routeq_outbox_jobs", "gauge", "Jobs that wait in outboxes of producers.",
                [({}, self.jobs)],
            ),
            *family(
                "routeq_outbox_bytes", "gauge", "Size of these.",
                [({}, sum(one.size for one in reports))],
            ),
            *family(
                "routeq_outbox_refused_jobs", "gauge",
                "Jobs that the broker did not take, which are kept aside.",
                [({}, sum(one.refused for one in reports))],
            ),
            *family(
                "routeq_outbox_oldest_seconds", "gauge",
                "How long the oldest job of all outboxes has waited; 0: none waits.",
                [({}, self.age(self.oldest))],
            ),
        ]  # fmt: skip
