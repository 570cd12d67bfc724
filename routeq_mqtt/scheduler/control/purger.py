"""Empties a queue of the embedded broker: takes what waits, as a worker would, and runs nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.rows import row_key
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.rows import Ended
    from routeq_mqtt.transport.base import Connection, Message, Transport


class Purger:
    """One purge of one queue.

    Args:
        context: what the roles share.
        transport: connects beside the scheduler's own connection.
        queue: to empty.
    """

    def __init__(self, context: Context, transport: Transport, queue: str) -> None:
        self._context = context
        self._transport = transport
        self._queue = queue
        self._client_id = f"routeq-purge-{new_id()[-8:]}"
        self._mark = context.topics.session(self._client_id)
        self._taken: list[Message] = []
        self._marked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> int:
        """Take until a round brings nothing; how many jobs went.

        Killed half-way, what was not acknowledged is the broker's again.

        Raises:
            ConnectionLost: the connection ended first.
        """
        connection = await self._transport.connect(ConnectOptions(self._client_id), self._take)
        purged = 0
        try:
            await connection.subscribe(self._mark, *self._context.topics.shared(self._queue))
            while taken := await self._round(connection):
                purged += taken
        finally:
            await connection.close()
        return purged

    async def _round(self, connection: Connection) -> int:
        """What the broker has given us, up to our own mark behind it."""
        self._marked = asyncio.get_running_loop().create_future()
        connection.publish(self._mark, b"mark")
        either: set[asyncio.Future[Any]] = {self._marked, connection.lost}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if connection.lost.done():
            raise ConnectionLost(f"lost while queue {self._queue} was purged")
        given, self._taken = self._taken, []
        taken = [message for message in given if message.topic != self._mark]
        rows = [outcome for message in taken if (outcome := self._told(message)) is not None]
        if rows:
            # A tombstone for each, as for any cancelled job: somebody may wait for its result.
            await self._context.orders.cancelled(rows, self._context.clock.now())
            self._context.results.ended(job_id for job_id, *_ in rows)
        for message in given:
            connection.acknowledge(message)
        return len(taken)

    def _told(self, message: Message) -> Ended | None:
        """Of a job that somebody knows by its id."""
        try:
            envelope = Envelope.decode(message.payload)
        except UnreadableMessage:
            return None
        if envelope.id is None:
            return None
        key = row_key(envelope, envelope.id)
        return key, envelope.attempt, self._context.tokens.fits(key, envelope.row)

    def _take(self, message: Message) -> None:
        self._taken.append(message)
        if message.topic == self._mark and not self._marked.done():
            self._marked.set_result(None)
