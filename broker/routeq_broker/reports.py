"""What the broker says of itself: `$SYS/broker/…` with mosquitto's names, and its own status."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from routeq_broker.storage.entry import Message
from routeq_broker.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_broker.clients.clients import Clients
    from routeq_broker.clients.handler import Handler
    from routeq_broker.routing.router import Router

_SIZES_EVERY = 0.2
_SHARE_OF_TIME = 50
"""Counting the queues takes at most this fraction of the time: of many it is done less often."""


class Reports:
    """Publishes `$SYS` and the broker's own status.

    Args:
        topic: retained, in each namespace: what this broker is; below it ``/queues``: what waits.
        every: seconds between two rounds of `$SYS`; 0: there is none.
        persistent: what is acknowledged survives a kill -9.
    """

    def __init__(self, topic: str, *, every: float, persistent: bool) -> None:
        self._topic = topic
        self._every = every
        self._persistent = persistent
        self._router: Router | None = None
        self._clients: Clients | None = None
        self._handler: Handler | None = None
        self._started = time.monotonic()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pause = _SIZES_EVERY
        self._said: dict[str, bytes] = {}

    def start(self, router: Router, clients: Clients, handler: Handler) -> None:
        """Say it, and go on saying what changes."""
        self._router, self._clients, self._handler = router, clients, handler
        limits = asdict(router.context.limits)
        status = {
            "shares_queue": True,
            "census": True,
            "version": VERSION,
            "persistent": self._persistent,
            "limits": limits,
        }
        for prefix in router.queues.namespaces.prefixes:
            self._say(prefix + self._topic, json.dumps(status).encode())
        self._say_sizes()
        if self._every:
            self._say_counters()

    def stop(self) -> None:
        """Say no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._router = None

    def changed(self) -> None:
        """What waits in the queues has changed."""
        if "sizes" not in self._timers and self._router is not None:
            self._later("sizes", self._pause)

    def _later(self, what: str, seconds: float) -> None:
        say = self._say_sizes if what == "sizes" else self._say_counters
        self._timers[what] = asyncio.get_running_loop().call_later(seconds, say)

    def _say_sizes(self) -> None:
        self._timers.pop("sizes", None)
        if self._router is None:
            return
        began = time.perf_counter()
        queues = self._router.queues
        for prefix, sizes in queues.namespaces.split(queues.sizes()).items():
            self._say(f"{prefix}{self._topic}/queues", json.dumps(sizes).encode())
        self._pause = max(_SIZES_EVERY, (time.perf_counter() - began) * _SHARE_OF_TIME)

    def _say_counters(self) -> None:
        for name, value in self.counters().items():
            self._say(f"$SYS/broker/{name}", str(value).encode())
        self._later("counters", self._every)

    def counters(self) -> Mapping[str, object]:
        """All of `$SYS/broker/`, by name."""
        router, clients, handler = self._router, self._clients, self._handler
        if router is None or clients is None or handler is None:
            return {}
        counters = router.context.counters
        connected = sum(one.connection is not None for one in clients.sessions.values())
        waiting, size = router.queues.stored()
        for session in clients.sessions.values():
            waiting += len(session.pending) + len(session.held)
            size += session.pending.bytes
        return {
            "version": f"routeq-broker version {VERSION}",
            "uptime": f"{int(time.monotonic() - self._started)} seconds",
            "clients/total": len(clients.sessions),
            "clients/connected": connected,
            "clients/disconnected": len(clients.sessions) - connected,
            "clients/maximum": counters.most_connected,
            "clients/expired": counters.expired_sessions,
            "clients/refused": counters.refused,
            "connections/count": len(handler.connections),
            "messages/received": counters.packets_received,
            "messages/sent": counters.packets_sent,
            "messages/stored": waiting + len(router.retained),
            "store/messages/count": waiting + len(router.retained),
            "store/messages/bytes": size + router.retained.bytes,
            "publish/messages/received": counters.published,
            "publish/messages/sent": counters.delivered,
            "publish/messages/dropped": counters.dropped,
            "publish/messages/expired": counters.expired,
            "bytes/received": counters.bytes_received,
            "bytes/sent": counters.bytes_sent,
            "subscriptions/count": router.subscriptions,
            "retained messages/count": len(router.retained),
            "store/failing": int(router.context.journal.failing),
        }

    def _say(self, topic: str, payload: bytes) -> None:
        if self._router is not None and self._said.get(topic) != payload:
            self._said[topic] = payload
            self._router.publish(Message(topic, payload, qos=1, retain=True), volatile=True)
