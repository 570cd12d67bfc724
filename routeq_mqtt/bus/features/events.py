"""Publishes what happens to jobs for subscribers, many events in one message.

Where the broker reports that a message has no subscriber, events that are not read cost next to
nothing: they are kept as they are for `_ASK_EVERY` seconds, a few of them are sent, and only if a
subscriber gets those the others follow. So a new subscriber misses nothing; what happens before its
first message comes up to that much later.
"""

from __future__ import annotations

import asyncio
import json
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any

from routeq_mqtt.jobs.hooks import JobEvent, fire, wanted
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS, PACKET_TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection
    from routeq_mqtt.transport.reconnecting import Link

_JOIN = 0.02
_MOST = 200

_ASK_EVERY = 0.2
"""Seconds between two questions whether somebody subscribes to the events of a queue."""

_ASK_AGAIN = 5.0
"""The same where the last answer was that somebody does."""

_FEW = 10
"""Events of a question. A session that is away keeps it, as it has QoS 1; not the others."""

_KEPT = 10_000
"""Events of a queue that wait for the answer at most; the oldest half goes first."""

_FEEDS = 1_000
"""Queues that are remembered without a reason: what is known of them (whether they are read) costs
one question to learn again. A producer of many devices has a queue for each."""

_REFUSED = 0x80

_Event = tuple[str, str, str, float, dict[str, Any]]
"""Event, id and job, when it was, and the fields of its own."""


class _Feed:
    """The events of one queue.

    Attributes:
        pending: not sent yet.
        unread: the last message found no subscriber.
        asking: a question is on its way.
        ask_at: when to ask again, monotonic seconds.
        timer: sends what is pending.
    """

    __slots__ = ("ask_at", "asking", "pending", "timer", "unread")

    def __init__(self) -> None:
        self.pending: list[_Event] = []
        self.unread = False
        self.asking = False
        self.ask_at = float("-inf")
        self.timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Nothing is pending, and no answer is awaited."""
        return self.timer is None and not self.asking


class Events:
    """Collects events and publishes them joined, a JSON list for each queue.

    Args:
        link: what publishes them; while it is not connected, events are dropped.
        topics: of the bus.
        clock: when they happened.
        source: who tells: a worker id, or the client identifier of a producer.
        enabled: False: nothing is published on the bus; hooks are still called.
        reports: whether the broker reports that a message has no subscriber. Where it does, a few
            events are published with QoS 1 now and then, to find out; all others with QoS 0.
    """

    def __init__(
        self,
        link: Link,
        topics: Topics,
        clock: Clock,
        source: str,
        *,
        enabled: bool = True,
        reports: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link = link
        self._topics = topics
        self._clock = clock
        self._source = source
        self._by = quoted(source)
        self._enabled = enabled
        self._reports = reports
        self._feeds: dict[str, _Feed] = {}
        self._tidy_at = _FEEDS

    def tell(self, queue: str, event: str, job_id: str, job: str, **more: object) -> None:
        """Something happened to a job: call this process's hooks, and tell the bus."""
        self.fire(queue, event, job_id, job, **more)
        self.publish(queue, event, job_id, job, more)

    def fire(self, queue: str, event: str, job_id: str, job: str, **more: object) -> None:
        """Only call the hooks."""
        if wanted(event):
            fire(
                JobEvent(
                    event=event,
                    id=job_id,
                    job=job,
                    queue=queue,
                    by=self._source,
                    at=self._clock.now(),
                    more=more,
                )
            )

    def publish(self, queue: str, event: str, job_id: str, job: str, more: dict[str, Any]) -> None:
        """Only tell the bus; `more` must not change from now on."""
        if not self._enabled:
            return
        feed = self._feeds.get(queue)
        if feed is None:
            feed = self._new_feed(queue)
        pending = feed.pending
        pending.append((event, job_id, job, self._clock.now(), more))
        if feed.timer is None:
            self._arm(queue, feed)
        if len(pending) >= _MOST:
            if not feed.unread:
                self._flush(queue, feed)
            elif len(pending) > _KEPT:
                del pending[: _KEPT // 2]

    def flush(self) -> None:
        """Publish what has been collected, without asking: the last words before a connection ends.

        Where a message finds no subscriber, that is the broker's to drop.
        """
        for queue, feed in self._feeds.items():
            self._disarm(feed)
            connection, pending, feed.pending = self._link.connection, feed.pending, []
            if connection is not None:
                self._send(connection, queue, pending)

    def _new_feed(self, queue: str) -> _Feed:
        if len(self._feeds) >= self._tidy_at:
            self._feeds = {name: one for name, one in self._feeds.items() if not one.idle}
            self._tidy_at = max(_FEEDS, 2 * len(self._feeds))
        feed = self._feeds[queue] = _Feed()
        return feed

    # -- one queue -----------------------------------------------------------------------------

    def _arm(self, queue: str, feed: _Feed) -> None:
        wait = _ASK_EVERY if feed.unread else _JOIN
        loop = asyncio.get_running_loop()
        feed.timer = loop.call_later(wait, self._flush, queue, feed)

    def _disarm(self, feed: _Feed) -> None:
        if feed.timer is not None:
            feed.timer.cancel()
            feed.timer = None

    def _flush(self, queue: str, feed: _Feed) -> None:
        self._disarm(feed)
        connection = self._link.connection
        if connection is None:
            feed.pending = []
        elif feed.asking and feed.unread:
            self._arm(queue, feed)
        else:
            pending, feed.pending = feed.pending, []
            self._publish(connection, queue, feed, pending)

    def _publish(
        self, connection: Connection, queue: str, feed: _Feed, events: Sequence[_Event]
    ) -> None:
        if not events:
            return
        if not self._reports():
            feed.unread = False
        elif feed.unread or self._clock.monotonic() >= feed.ask_at:
            feed.ask_at = self._clock.monotonic() + _ASK_AGAIN
            events = self._ask(connection, queue, feed, events)
        self._send(connection, queue, events)

    def _ask(
        self, connection: Connection, queue: str, feed: _Feed, events: Sequence[_Event]
    ) -> Sequence[_Event]:
        """Send a few events, to see whether somebody gets them; what to send beside them."""
        few, rest = events[:_FEW], events[_FEW:]
        waiting = rest if feed.unread else ()
        feed.asking = True
        sent = connection.publish(self._topics.events(queue), self._payload(queue, few))
        sent.add_done_callback(lambda answer: self._answered(queue, feed, waiting, answer))
        return () if feed.unread else rest

    def _answered(
        self, queue: str, feed: _Feed, waiting: Sequence[_Event], answer: asyncio.Future[int]
    ) -> None:
        was_unread, feed.asking = feed.unread, False
        if answer.cancelled() or answer.exception() is not None:
            return  # the connection is gone: the next one answers
        reason = answer.result()
        if reason != PACKET_TOO_LARGE:
            feed.unread = reason == NO_MATCHING_SUBSCRIBERS or reason >= _REFUSED
        connection = self._link.connection
        if was_unread and not feed.unread and connection is not None:
            self._send(connection, queue, waiting)
            self._flush(queue, feed)

    def _send(self, connection: Connection, queue: str, events: Sequence[_Event]) -> None:
        for at in range(0, len(events), _MOST):
            payload = self._payload(queue, events[at : at + _MOST])
            connection.publish(self._topics.events(queue), payload, qos=0)

    # Written out, an event costs a third of a dict and `json.dumps`.

    def _payload(self, queue: str, events: Sequence[_Event]) -> bytes:
        where = f'"queue":{quoted(queue)},"by":{self._by}'
        told = [
            f'{{"event":"{event}","id":{quoted(job_id)},"job":{quoted(job)},'
            f'{where},"at":{at:.4f}{_tail(more)}}}'
            for event, job_id, job, at, more in events
        ]
        return f"[{','.join(told)}]".encode()


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _tail(more: dict[str, Any]) -> str:
    """What follows the fields that each event has."""
    if len(more) == 1 and "attempt" in more:
        return f',"attempt":{more["attempt"]}'
    return f",{_encode(more)[1:-1]}" if more else ""
