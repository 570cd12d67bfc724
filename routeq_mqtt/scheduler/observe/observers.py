"""The roles that look at the bus and answer operators, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.control.inquiry import Inquiry
from routeq_mqtt.scheduler.observe.alerts import Alerter
from routeq_mqtt.scheduler.observe.broker_counters import BrokerCounters
from routeq_mqtt.scheduler.observe.bulk_runner import BulkRunner
from routeq_mqtt.scheduler.observe.homeassistant import HomeAssistant
from routeq_mqtt.scheduler.observe.metrics import Metrics
from routeq_mqtt.scheduler.observe.metrics_server import MetricsServer
from routeq_mqtt.scheduler.observe.numbers import Numbers
from routeq_mqtt.scheduler.observe.operator import Operator
from routeq_mqtt.scheduler.observe.outboxes import Outboxes
from routeq_mqtt.scheduler.observe.standby_watch import StandbyWatch
from routeq_mqtt.scheduler.observe.statistics import Statistics
from routeq_mqtt.scheduler.store.observe.audit import AuditLog

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.failed_records import FailedRecords
    from routeq_mqtt.scheduler.lifecycle.presence import Presence
    from routeq_mqtt.scheduler.observe.alerts import AlertRules
    from routeq_mqtt.transport.base import Connection, Message
    from routeq_mqtt.wire.messages import requests


class Observers:
    """Statistics, numbers, alerts, and what operators ask.

    Args:
        context: what the roles share.
        records: retries and deletes failed records.
        presence: says what trouble the scheduler has.
        rules: when something is wrong.
        metrics_on: host and port for Prometheus.
        homeassistant: whether the bus is announced to Home Assistant.
    """

    def __init__(
        self,
        context: Context,
        records: FailedRecords,
        presence: Presence,
        rules: AlertRules,
        metrics_on: tuple[str, int] | None,
        homeassistant: bool = False,
    ) -> None:
        self._context = context
        self.audit: AuditLog = AuditLog(context.store.database)
        self.statistics: Statistics = Statistics(context)
        self.numbers: Numbers = Numbers(context, self.statistics)
        self._outboxes = Outboxes(context)
        self.broker: BrokerCounters = BrokerCounters(context)
        self.alerter: Alerter = Alerter(
            context, self.numbers, self._outboxes, lambda: presence.status.trouble, rules
        )
        self._bulk = BulkRunner(context, records)
        self.homeassistant: HomeAssistant = HomeAssistant(
            context, self.numbers, enabled=homeassistant
        )
        self.standby_watch: StandbyWatch = StandbyWatch(context)
        standbys = self.standby_watch.standbys
        metrics = Metrics(
            context, self.statistics, self.numbers, standbys, self._outboxes, self.broker
        )
        self.metrics_server: MetricsServer | None = metrics_on and MetricsServer(
            *metrics_on, metrics.text
        )
        inquiry = Inquiry(context)
        self._listeners = (
            self.numbers, self._outboxes, self.broker, self.homeassistant, self.standby_watch,
            inquiry,
        )  # fmt: skip
        operator = Operator(context, self.audit, inquiry)
        roles = (self.statistics, self.alerter, self._bulk, operator, metrics)
        self.methods: requests.Methods = {
            kind: method for role in roles for kind, method in role.methods.items()
        }

    def filters(self) -> list[str]:
        """What to subscribe to."""
        topics = self._context.topics
        standbys = self.standby_watch.standbys.filters()
        own = self.homeassistant.filters()
        return [
            topics.stats("+"),
            topics.numbers("+"),
            topics.outbox("+"),
            topics.held("+"),
            *standbys,
            *own,
        ]

    def heard(self, connection: Connection, message: Message) -> bool:
        """Take a message in; whether it was for one of these."""
        worker = self._context.topics.stats_of(message.topic)
        if worker is not None:
            self.statistics.heard(worker, message.topic, message.payload)
        elif not any(role.heard(message) for role in self._listeners):
            return False
        connection.acknowledge(message)
        return True

    async def load(self) -> None:
        """Read what an earlier scheduler has counted.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        await self.statistics.load()
        await self.homeassistant.load()

    def running(self) -> dict[str, Coroutine[None, None, None]]:
        """The loops, by name."""
        server = {} if self.metrics_server is None else {"metrics": self.metrics_server.run()}
        return {
            **server,
            "statistics": self.statistics.run(),
            "numbers": self.numbers.run(),
            "alerts": self.alerter.run(),
            "standbys": self.standby_watch.run(),
            "bulk actions": self._bulk.run(),
            "home assistant": self.homeassistant.run(),
        }
