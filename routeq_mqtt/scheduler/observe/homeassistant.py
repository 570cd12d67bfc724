"""Announces the bus to Home Assistant, and takes it back where that is off."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.observe import discovery
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import observe as sql

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.observe.numbers import Numbers
    from routeq_mqtt.transport.base import Connection, Message

log: logging.Logger = logging.getLogger(__name__)

_EVERY = 5.0
_MOST = 200
"""Queues, and workers with a name, that are announced."""


class HomeAssistant:
    """Retained discovery messages, QoS 1.

    What was announced is remembered on disk: so a queue that is gone, and all of it when this is
    switched off, is taken back.

    Args:
        context: what the roles share.
        numbers: which queues there are.
        enabled: False: only take back what an earlier scheduler has announced.
    """

    def __init__(self, context: Context, numbers: Numbers, *, enabled: bool) -> None:
        self._context = context
        self._numbers = numbers
        self._enabled = enabled
        self._announced: dict[str, str] = {}
        self._queues: set[str] = set()
        self._said: dict[str, bytes] = {}
        self._connection: Connection | None = None

    async def load(self) -> None:
        """Read what was announced.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        found = await self._context.store.database.read(sql.ANNOUNCED)
        if found:
            kept = json.loads(found[0][0])
            self._announced, self._queues = dict(kept["topics"]), set(kept["queues"])

    def filters(self) -> list[str]:
        """What to subscribe to."""
        return [discovery.STATUS] if self._enabled else []

    def heard(self, message: Message) -> bool:
        """Whether it was Home Assistant's own status; online: everything is announced again."""
        if message.topic != discovery.STATUS:
            return False
        if message.payload == b"online":
            self._said.clear()
        return True

    async def run(self) -> None:
        """Announce what has changed, every five seconds; ends at once where nothing is to do."""
        while self._enabled or self._announced:
            await asyncio.sleep(_EVERY)
            try:
                await self.announce()
            except StoreUnavailable as error:
                log.debug("cannot announce to Home Assistant: %s", error)
        await asyncio.Event().wait()

    async def announce(self) -> None:
        """Publish what has changed, and take back what is gone.

        Raises:
            StoreUnavailable: nothing was published that is not remembered.
        """
        connection = self._context.link.connection
        if connection is None:
            return
        if connection is not self._connection:  # the broker may have lost its memory
            self._connection = connection
            self._said.clear()
        queues = set(sorted(self._numbers.queues)[:_MOST]) if self._enabled else set()
        payloads = self._payloads(queues) if self._enabled else {}
        topics = {topic: name for topic, (name, _) in payloads.items()}
        if self._enabled:
            topics |= await self._away(topics)
        # First: what a scheduler that dies here has published is taken back later.
        await self._keep(self._announced | topics, self._queues | queues)
        for topic, (_, payload) in payloads.items():
            if self._said.get(topic) != payload:
                connection.publish(topic, payload, retain=True)
                self._said[topic] = payload
        for topic in self._announced.keys() - topics.keys():
            connection.publish(topic, b"", retain=True)
            self._said.pop(topic, None)
        await self._keep(topics, queues)

    def _payloads(self, queues: set[str]) -> dict[str, tuple[str, bytes]]:
        """By topic: the worker's name (empty: the bus) and the message."""
        topics = self._context.topics
        device = discovery.bus_device(topics, sorted(queues), sorted(self._queues - queues))
        found = {discovery.bus_topic(topics): ("", discovery.encode(device))}
        for name, worker in sorted(self._workers().items())[:_MOST]:
            payload = discovery.encode(discovery.worker_device(topics, name, worker))
            found[discovery.worker_topic(topics, name)] = (name, payload)
        return found

    def _workers(self) -> dict[str, str]:
        """Ids by name, of each name its latest start."""
        statuses = [one.status for one in self._context.fleet.members.values()]
        named = [status for status in statuses if status is not None and status.name]
        return {str(one.name): one.id for one in sorted(named, key=lambda one: one.started_at)}

    async def _away(self, topics: dict[str, str]) -> dict[str, str]:
        """Workers that were announced and are away: they stay until they are forgotten."""
        known = {str(row[0]) for row in await self._context.store.database.read(sql.DEVICE_NAMES)}
        return {
            topic: name
            for topic, name in self._announced.items()
            if name in known and topic not in topics
        }

    async def _keep(self, topics: dict[str, str], queues: set[str]) -> None:
        if (topics, queues) == (self._announced, self._queues):
            return
        kept = json.dumps({"topics": topics, "queues": sorted(queues)})
        await self._context.store.database.write(sql.SET_ANNOUNCED, [(kept,)])
        self._announced, self._queues = topics, queues
