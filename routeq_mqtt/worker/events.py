"""What happens to jobs, told to whoever watches: QoS 0, many events in one message."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.clock import Clock

_JOIN = 0.02
_MOST = 200


class Events:
    """Collects events and publishes them joined, a JSON list for each queue.

    Args:
        sender: what publishes them; while it is not connected, events are dropped.
        clock: when they happened.
        source: who tells: a worker id, or the scheduler.
        enabled: False: nothing is told.
    """

    def __init__(self, sender: Sender, clock: Clock, source: str, *, enabled: bool = True) -> None:
        self._sender = sender
        self._clock = clock
        self._source = source
        self._enabled = enabled
        self._pending: dict[str, list[dict[str, Any]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, queue: str, event: str, job_id: str, job: str, **more: object) -> None:
        """Something happened to a job."""
        if not self._enabled:
            return
        pending = self._pending.setdefault(queue, [])
        pending.append(
            {"event": event, "id": job_id, "job": job, "queue": queue, "by": self._source}
            | {"at": round(self._clock.now(), 4)}
            | more
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
        connection = self._sender.link.connection
        if connection is None:
            return
        for queue, events in pending.items():
            payload = json.dumps(events, separators=(",", ":"), default=str).encode()
            connection.publish(self._sender.topics.events(queue), payload, qos=0)
