"""What happens to jobs, told to whoever watches: QoS 0, many events in one message."""

from __future__ import annotations

import asyncio
import json
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any

from routeq_mqtt.job.hooks import JobEvent, fire, wanted

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.link import Link

_JOIN = 0.02
_MOST = 200


class Events:
    """Collects events and publishes them joined, a JSON list for each queue.

    Args:
        link: what publishes them; while it is not connected, events are dropped.
        topics: of the bus.
        clock: when they happened.
        source: who tells: a worker id, or the scheduler.
        enabled: False: nothing is told on the bus; hooks are called all the same.
    """

    def __init__(
        self, link: Link, topics: Topics, clock: Clock, source: str, *, enabled: bool = True
    ) -> None:
        self._link = link
        self._topics = topics
        self._clock = clock
        self._source = source
        self._by = quoted(source)
        self._enabled = enabled
        self._pending: dict[str, list[str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, queue: str, event: str, job_id: str, job: str, **more: object) -> None:
        """Something happened to a job: call this process's hooks, and tell the bus."""
        self.fire(queue, event, job_id, job, **more)
        self.publish(queue, event, job_id, job, **more)

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

    def publish(self, queue: str, event: str, job_id: str, job: str, **more: object) -> None:
        """Only tell the bus."""
        if not self._enabled:
            return
        pending = self._pending.setdefault(queue, [])
        # Twice for each job: written out, it costs a third of a dict and `json.dumps`.
        pending.append(
            f'{{"event":"{event}","id":{quoted(job_id)},"job":{quoted(job)},'
            f'"queue":{quoted(queue)},"by":{self._by},"at":{self._clock.now():.4f}{_tail(more)}}}'
        )
        if len(pending) >= _MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_JOIN, self.flush)

    def flush(self) -> None:
        """Publish what has been collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, {}
        connection = self._link.connection
        if connection is None:
            return
        for queue, events in pending.items():
            payload = f"[{','.join(events)}]".encode()
            connection.publish(self._topics.events(queue), payload, qos=0)


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _tail(more: dict[str, Any]) -> str:
    """What follows the fields that each event has."""
    if len(more) == 1 and "attempt" in more:
        return f',"attempt":{more["attempt"]}'
    return f",{_encode(more)[1:-1]}" if more else ""
