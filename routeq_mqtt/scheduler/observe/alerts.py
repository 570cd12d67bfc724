"""Notices what needs a person, and says so on ``routeq/alerts``, retained.

Hysteresis: a condition must hold for a while before it is an alert, and must be clearly over for as
long before the alert ends. A queue on the edge does not send a message every few seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, dataclass
from shlex import quote
from typing import TYPE_CHECKING

from routeq_mqtt.boundary import one_line
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.numbers import Alert, Alerts, QueueNumbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.observe.numbers import Numbers
    from routeq_mqtt.scheduler.observe.outboxes import Outboxes
    from routeq_mqtt.transport.base import Connection
    from routeq_mqtt.wire.messages import requests

_EVERY = 5.0
_HOLDS = 15.0
"""Seconds for which something must be wrong, or well."""

_WINDOW, _SAMPLED_EVERY = 600.0, 60.0
_LEAST_FAILED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRules:
    """When something is wrong.

    Attributes:
        stuck_after: seconds that the oldest job of a queue may wait; default 300. It is well again
            below half of that.
        failure_share: share of the jobs that ended within 10 minutes and failed, 10 at least;
            default 0.5. It is well again below half of that.
    """

    stuck_after: float = 300.0
    failure_share: float = 0.5


@dataclass(slots=True)
class _State:
    """Of one key: whether it is an alert, and since when its opposite holds."""

    alert: Alert | None = None
    turning: float | None = None


class Alerter:
    """Keeps what is wrong now.

    Args:
        context: what the roles share.
        numbers: of the queues.
        outboxes: of producers.
        trouble: why the scheduler cannot commit; empty: it can.
        rules: when something is wrong.
    """

    def __init__(
        self,
        context: Context,
        numbers: Numbers,
        outboxes: Outboxes,
        trouble: Callable[[], str],
        rules: AlertRules,
    ) -> None:
        self._context = context
        self._numbers = numbers
        self._outboxes = outboxes
        self._trouble = trouble
        self._rules = rules
        self._states: dict[str, _State] = {}
        self._outcomes: dict[str, deque[tuple[float, int, int]]] = {}
        self._said: list[Alert] = []
        self._connection: Connection | None = None
        self.methods: requests.Methods = {asks.AlertsList: self._list}

    async def _list(self, asked: asks.AlertsList) -> object:
        return [asdict(alert) for alert in self.alerts()]

    def alerts(self) -> list[Alert]:
        """What is wrong now, the oldest first."""
        found = [state.alert for state in self._states.values() if state.alert is not None]
        return sorted(found, key=lambda alert: (alert.since, alert.key))

    async def run(self) -> None:
        """Look every five seconds."""
        while True:
            await asyncio.sleep(_EVERY)
            self.check(self._numbers.queues)
            self.publish()

    def check(self, queues: Mapping[str, QueueNumbers]) -> None:
        """Look at everything once."""
        now = self._context.clock.now()
        seen = set()
        for alert, wrong, well in self._conditions(queues, now):
            seen.add(alert.key)
            self._turn(alert, now, wrong=wrong, well=well)
        for key in self._states.keys() - seen:
            del self._states[key]  # its queue is gone

    def _turn(self, alert: Alert, now: float, *, wrong: bool, well: bool) -> None:
        state = self._states.setdefault(alert.key, _State())
        turns = well if state.alert is not None else wrong
        if not turns:
            state.turning = None
            return
        if state.turning is None:
            state.turning = now
        if now - state.turning >= _HOLDS:
            state.alert = alert if state.alert is None else None
            state.turning = None

    def _conditions(
        self, queues: Mapping[str, QueueNumbers], now: float
    ) -> Iterator[tuple[Alert, bool, bool]]:
        """Each alert that there may be, whether it is wrong, and whether it is clearly well."""
        trouble = self._trouble()
        text = f"the scheduler cannot commit: {trouble}"
        alert = Alert(key="scheduler", kind="scheduler", since=now, text=text)
        yield alert, bool(trouble), not trouble
        yield self._outbox(now)
        for gone in self._outcomes.keys() - queues.keys():
            del self._outcomes[gone]
        for queue, numbers in queues.items():
            yield self._stuck(queue, numbers, now)
            yield self._failing(queue, numbers, self._before(numbers, now), now)

    def _outbox(self, now: float) -> tuple[Alert, bool, bool]:
        oldest = self._outboxes.oldest
        age = self._outboxes.age(oldest)
        text = f"{self._outboxes.jobs} jobs wait in outboxes, the oldest for {age:.0f} s"
        if oldest is not None:
            text += f" in {one_line(oldest.place)}: see routeq-mqtt outbox status there"
        alert = Alert(key="outbox", kind="outbox", since=now, text=text)
        return alert, age > self._rules.stuck_after, age < self._rules.stuck_after / 2

    def _stuck(self, queue: str, numbers: QueueNumbers, now: float) -> tuple[Alert, bool, bool]:
        age = 0.0 if numbers.oldest_at is None else now - numbers.oldest_at
        limit = self._rules.stuck_after
        if numbers.workers:
            text = (
                f"the oldest job has waited {age:.0f} s; {numbers.workers} workers with "
                f"{numbers.slots} slots do not keep up: start more, or look at what runs"
            )
        else:
            text = f"the oldest job has waited {age:.0f} s and no worker serves this queue"
        alert = Alert(
            key=f"queue stuck/{queue}", kind="queue stuck", queue=queue, since=now, text=text
        )
        if numbers.paused or numbers.rate is not None:  # then waiting is what was ordered
            return alert, False, True
        return alert, age > limit, age < limit / 2

    def _failing(
        self, queue: str, numbers: QueueNumbers, before: tuple[int, int], now: float
    ) -> tuple[Alert, bool, bool]:
        done, failed = numbers.done_total - before[0], numbers.failed_total - before[1]
        share = failed / (done + failed) if done + failed else 0.0
        limit = self._rules.failure_share
        text = (
            f"{failed} of {done + failed} jobs failed within 10 minutes: "
            f"routeq-mqtt failed list --queue={quote(queue)}"
        )
        alert = Alert(
            key=f"failure rate/{queue}", kind="failure rate", queue=queue, since=now, text=text
        )
        return alert, failed >= _LEAST_FAILED and share >= limit, share < limit / 2

    def _before(self, numbers: QueueNumbers, now: float) -> tuple[int, int]:
        """Done and failed of a queue ten minutes ago, or when we saw it first."""
        known = self._outcomes.setdefault(numbers.queue, deque())
        if not known or known[-1][0] <= now - _SAMPLED_EVERY:
            known.append((now, numbers.done_total, numbers.failed_total))
        while len(known) > 1 and known[1][0] <= now - _WINDOW:
            known.popleft()
        return known[0][1:]

    def publish(self) -> None:
        """Say what is wrong, if that has changed or the connection is a new one."""
        connection = self._context.link.connection
        if connection is None:
            return
        alerts = self.alerts()
        if connection is self._connection and alerts == self._said:
            return
        said = Alerts(alerts=alerts, at=self._context.clock.now())
        connection.publish(self._context.topics.alerts, said.encode(), retain=True)
        self._connection, self._said = connection, alerts
