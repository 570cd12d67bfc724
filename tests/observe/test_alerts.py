"""Alerts begin late, end late, and do not flicker."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from routeq_mqtt.scheduler.observe.alerts import Alerter, AlertRules
from routeq_mqtt.scheduler.observe.outboxes import Outboxes
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.observe.numbers import Alerts, QueueNumbers
from routeq_mqtt.wire.observe.outbox import OutboxReport

_HOLDS = 15


class Clocked:
    """An alerter whose time passes when a test says so."""

    def __init__(self, **rules: float) -> None:
        self.now = 10_000.0
        self.trouble = ""
        self.sent: list[list[str]] = []
        connection = SimpleNamespace(publish=self._publish)
        self.link = SimpleNamespace(connection=connection)
        context: Any = SimpleNamespace(
            clock=SimpleNamespace(now=lambda: self.now), link=self.link, topics=Topics()
        )
        numbers: Any = SimpleNamespace(queues={})
        self.outboxes = Outboxes(context)
        self.alerter = Alerter(
            context, numbers, self.outboxes, lambda: self.trouble, AlertRules(**rules)
        )

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        assert (topic, retain) == ("routeq/alerts", True)
        self.sent.append([alert.key for alert in Alerts.decode(payload).alerts])

    def passes(self, seconds: float, *queues: QueueNumbers) -> list[str]:
        """Let time pass, looked at every five seconds; the alerts that there are then."""
        end = self.now + seconds
        while self.now < end:
            self.now += 5
            self.alerter.check({one.queue: one for one in queues})
            self.alerter.publish()
        return [alert.key for alert in self.alerter.alerts()]


def waiting(one: Clocked, seconds: float, **more: Any) -> QueueNumbers:
    return QueueNumbers(queue="a", parked=1, oldest_at=one.now - seconds, **more)


def test_a_queue_is_stuck_once_its_oldest_job_has_waited_for_long() -> None:
    one = Clocked(stuck_after=300)
    assert one.passes(60, waiting(one, 100)) == []
    assert one.passes(_HOLDS - 5, waiting(one, 1_000)) == []
    assert one.passes(10, waiting(one, 1_000)) == ["queue stuck/a"]
    [alert] = one.alerter.alerts()
    assert "no worker serves this queue" in alert.text
    assert alert.queue == "a"


def test_it_is_well_again_only_below_half_of_the_limit() -> None:
    one = Clocked(stuck_after=300)
    old = waiting(one, 1_000)
    assert one.passes(30, old) == ["queue stuck/a"]
    since = one.alerter.alerts()[0].since
    assert one.passes(60, waiting(one, 170)) == ["queue stuck/a"]
    assert one.alerter.alerts()[0].since == since
    assert one.passes(30, QueueNumbers(queue="a")) == []


def test_what_goes_to_and_fro_is_one_message() -> None:
    one = Clocked(stuck_after=300)
    one.passes(30, waiting(one, 1_000))
    for _ in range(20):
        one.passes(5, QueueNumbers(queue="a"))
        one.passes(5, waiting(one, 1_000))
    assert one.sent == [[], ["queue stuck/a"]]


@pytest.mark.parametrize("ordered", [{"paused": True}, {"rate": (1.0, 60.0)}])
def test_a_queue_that_was_ordered_to_wait_is_not_stuck(ordered: dict[str, Any]) -> None:
    one = Clocked()
    assert one.passes(60, waiting(one, 1_000_000, **ordered)) == []


def ended(done: int, failed: int) -> QueueNumbers:
    return QueueNumbers(queue="a", done_total=done, failed_total=failed)


def test_half_of_the_jobs_failing_is_an_alert_few_of_them_are_not() -> None:
    one = Clocked(failure_share=0.5)
    assert one.passes(60, ended(1_000, 500)) == []  # before we looked
    assert one.passes(60, ended(1_000, 509)) == []  # too few
    assert one.passes(60, ended(1_100, 550)) == []  # a third
    assert one.passes(60, ended(1_100, 650)) == ["failure rate/a"]
    assert "failed list --queue=a" in one.alerter.alerts()[0].text
    assert one.passes(900, ended(1_100, 650)) == []  # ten minutes without a failure


def test_the_command_in_an_alert_is_one_whatever_the_queue_is_called() -> None:
    one = Clocked(failure_share=0.5)
    queue = "--url=mqtt:evil; id"
    one.passes(60, QueueNumbers(queue=queue))
    one.passes(60, QueueNumbers(queue=queue, failed_total=50))
    [alert] = one.alerter.alerts()
    command = alert.text.partition(": ")[2]
    assert shlex.split(command) == ["routeq-mqtt", "failed", "list", f"--queue={queue}"]


def test_a_scheduler_that_cannot_commit_says_so() -> None:
    one = Clocked()
    one.trouble = "the disk is full"
    assert one.passes(30) == ["scheduler"]
    assert one.alerter.alerts()[0].text == "the scheduler cannot commit: the disk is full"
    one.trouble = ""
    assert one.passes(30) == []


def test_a_new_connection_is_told_all_a_known_one_only_what_changed() -> None:
    one = Clocked()
    one.passes(60)
    assert one.sent == [[]]
    one.link.connection = SimpleNamespace(publish=one._publish)
    one.passes(60)
    assert one.sent == [[], []]


def test_the_alert_of_a_queue_that_is_gone_is_over() -> None:
    one = Clocked()
    assert one.passes(30, waiting(one, 1_000)) == ["queue stuck/a"]
    assert one.passes(5) == []


def test_jobs_that_wait_in_an_outbox_for_long_are_an_alert() -> None:
    one = Clocked(stuck_after=300)
    report = OutboxReport(place="gate:/var/outbox.db", jobs=7, oldest_at=one.now - 1_000)
    assert one.outboxes.heard(Message("routeq/outbox/a1", report.encode()))
    assert one.passes(30) == ["outbox"]
    [alert] = one.alerter.alerts()
    assert "7 jobs" in alert.text
    assert "gate:/var/outbox.db" in alert.text
    one.outboxes.heard(Message("routeq/outbox/a1", b""))
    assert one.passes(30) == []
