"""The scheduler's orders, as a worker hears them: cancelled jobs, paused queues and the like.

They are retained, so a worker knows them before it takes its first job. What was withdrawn while we
were not connected is simply not sent again: after each connect the whole picture is taken anew.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.transport.seam import Connection, Message

log = logging.getLogger(__name__)

_LEARN_WITHIN = 5.0
"""Seconds after which we work without orders: access control may hide them from us."""


class Obeys(Protocol):
    """Who does what was ordered."""

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs; settle one that waits."""
        ...

    def open_queue(self, queue: str, *, is_open: bool, start: bool) -> None:
        """Join or leave the group of a queue; `start`: whether what is held is still started."""
        ...

    def purge(self, queue: str) -> None:
        """Settle what waits of a queue, unstarted."""
        ...


class Orders:
    """What holds now.

    Args:
        sender: hears them.
        names: what this worker is called: its id, and its name if it has one.
        queues: that it serves.
        obeys: told of each change.

    Attributes:
        cancelled: ids of jobs that must not run, or must stop.
        paused: queues of which nothing is started.
        limited: queues of which only the scheduler says when a job is started.
        drained: this worker takes no new jobs; what it holds it runs.
    """

    def __init__(
        self, sender: Sender, names: Collection[str | None], queues: Collection[str], obeys: Obeys
    ) -> None:
        self.cancelled: set[str] = set()
        self.paused: set[str] = set()
        self.limited: set[str] = set()
        self._drained: set[str] = set()
        self._sender = sender
        self._names = names
        self._queues = queues
        self._obeys = obeys
        self._fresh: set[tuple[str, str]] | None = None
        self._learned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def drained(self) -> bool:
        """Whether this worker takes no new jobs."""
        return bool(self._drained)

    async def start(self) -> None:
        """Returns when all orders that hold now are known."""
        self._task = asyncio.create_task(self._keep_up(), name="orders")
        try:
            await asyncio.wait_for(self._learned.wait(), _LEARN_WITHIN)
        except TimeoutError:
            log.warning("no orders to be heard; is %s readable?", self._sender.topics.all_orders)

    def close(self) -> None:
        """Obey no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep_up(self) -> None:
        while True:
            connection = await self._sender.link.ready()
            await self._learn(connection)
            await asyncio.shield(connection.lost)

    async def _learn(self, connection: Connection) -> None:
        """Take the whole picture; what is not in it any more is withdrawn."""
        self._fresh = set()
        await self._sender.listen([self._sender.topics.all_orders], self._take)
        await self._sender.caught_up()
        if connection.lost.done():
            return  # the next connection starts over
        fresh, self._fresh = self._fresh, None
        for order in self._known() - fresh:
            self._change(*order, holds=False)
        self._learned.set()

    def _known(self) -> set[tuple[str, str]]:
        return {
            *(("cancel", name) for name in self.cancelled),
            *(("paused", name) for name in self.paused),
            *(("limited", name) for name in self.limited),
            *(("drained", name) for name in self._drained),
        }

    def _take(self, message: Message) -> None:
        order = self._sender.topics.order_of(message.topic)
        if order is None or self._task is None:
            return
        if order[0] == "purge":
            self._obeys.purge(order[1])
            return
        holds = bool(message.payload)
        if self._fresh is not None:
            (self._fresh.add if holds else self._fresh.discard)(order)
        self._change(*order, holds=holds)

    def _change(self, kind: str, name: str, *, holds: bool) -> None:
        """Orders of kinds and names that are not for us change nothing."""
        known = {
            "cancel": self.cancelled,
            "paused": self.paused,
            "limited": self.limited,
            "drained": self._drained,
        }.get(kind)
        if known is None or (kind == "drained" and name not in self._names):
            return
        if holds == (name in known):
            return
        (known.add if holds else known.discard)(name)
        if kind == "cancel":
            if holds:
                self._obeys.cancel(name)
            return
        log.info("%s %s: %s", kind, name, "yes" if holds else "no more")
        if kind == "limited":
            return  # what waits here is looked at when it would be started
        for queue in self._queues if kind == "drained" else [name]:
            paused = queue in self.paused
            self._obeys.open_queue(queue, is_open=not (paused or self._drained), start=not paused)
