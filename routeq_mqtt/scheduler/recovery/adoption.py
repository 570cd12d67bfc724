"""Takes over one dead session and drains it into rows.

A client that connects with the dead one's identifier gets its unacknowledged messages and then its
queued ones; a marker published to the session's own topic comes last. Every message is a row,
committed, before it is acknowledged. Killed half-way, the next adoption finds the rest: the session
is kept until it is drained, and a row does not take the same message twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.store.failed_records import unreadable
from routeq_mqtt.scheduler.store.given_ids import GivenIds
from routeq_mqtt.scheduler.store.incoming import returned_row
from routeq_mqtt.scheduler.store.rows import NONE_GIVEN
from routeq_mqtt.tasks import Scope
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.envelopes.dealt import is_question
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.rows import row_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.rows import NewFailed, NewRow
    from routeq_mqtt.transport.base import Connection, Message, Transport

log: logging.Logger = logging.getLogger(__name__)

_SESSION_EXPIRY = 7 * 86_400
_BATCH = 500
_HIGH = 2_000
_MARK = b"adopted"

STALLED = 30.0
"""Seconds without a message and without our mark after which an adoption begins again. A broker
that drops messages of a full queue may have dropped the mark, and would never deliver it."""


class Adoption:
    """Drains one session.

    Args:
        context: what the roles share.
        transport: connects in the dead client's name.
        client_id: of the session.
        queue: that it served.
        running: jobs that its worker ran when it died, each with its attempt.
        charge: whether a job that ran is charged an attempt; not after a polite stop.
    """

    def __init__(
        self,
        context: Context,
        transport: Transport,
        client_id: str,
        queue: str,
        running: Mapping[str, int],
        *,
        charge: bool,
    ) -> None:
        self._context = context
        self._transport = transport
        self._client_id = client_id
        self._queue = queue
        self._running = running
        self._charge = charge
        own = context.topics.session(client_id)
        self._dealt_topic = context.topics.deal(client_id)
        self._given = GivenIds(context.store, client_id, own)
        self._waiting: deque[Message] = deque()
        self._arrived = Notifier()
        self._connection: Connection | None = None
        self._marked = False
        self.drained: int = 0

    async def run(self) -> None:
        """Drain the session and end it.

        Raises:
            ConnectionLost: the connection ended first, or brought nothing for 30 s; run another
                adoption.
            ConnectionFailed: the broker was not reached.
            StoreUnavailable: the database cannot be used.
        """
        await self._given.load()
        options = ConnectOptions(
            self._client_id, persistent=True, session_expiry=_SESSION_EXPIRY, receive_maximum=_HIGH
        )
        await self._context.link.ready()  # another scheduler may have our place: see `InstanceLock`
        connection = await self._transport.connect(options, self._take)
        self._connection = connection
        connection.lost.add_done_callback(lambda lost: self._arrived.notify())
        # Beside the draining: the broker's answers come behind what it has sent already.
        try:
            async with Scope() as scope:
                ending = scope.start(self._mark_the_end(connection), "adoption-mark")
                ending.add_done_callback(lambda ended: self._arrived.notify())
                scope.start(self._given.run(), "adoption-given-ids")
                await self._drain_all(connection, ending)
        except BaseException:
            await connection.close()
            raise
        await connection.close(end_session=True)
        if self._given.any:
            await self._given.forget()

    async def _drain_all(self, connection: Connection, ending: asyncio.Task[None]) -> None:
        while not (self._marked and not self._waiting):
            if connection.lost.done():
                raise ConnectionLost(f"lost while adopting {self._client_id}")
            if self._waiting:
                await self._drain(connection)
                continue
            if ending.done():
                ending.result()  # without our mark nobody would tell us of the end
            if not await self._arrived.wait(STALLED):
                raise ConnectionLost(
                    f"nothing came for {STALLED:.0f} s, {self.drained} jobs were drained"
                )

    async def _mark_the_end(self, connection: Connection) -> None:
        own = self._context.topics.session(self._client_id)
        topics = self._context.topics
        filters: tuple[str, ...] = topics.shared(self._queue)
        if self._context.surroundings.deals:
            filters = (*filters, self._dealt_topic)
        await connection.unsubscribe(*filters)
        await connection.subscribe(own)
        await connection.publish(own, _MARK)

    def _take(self, message: Message) -> None:
        self._waiting.append(message)
        self._arrived.notify()
        if len(self._waiting) >= _HIGH and self._connection is not None:
            self._connection.pause()

    async def _drain(self, connection: Connection) -> None:
        """One batch: rows, commit, acknowledge."""
        taken = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        rows: list[NewRow] = []
        failed: list[NewFailed] = []
        for message in taken:
            self._sort(connection, message, rows, failed)
        await self._context.link.ready()  # as above: what we took in would be lost to that one
        self._context.hook("adopting: before commit")
        given = self._given.to_write()
        if rows or given is not NONE_GIVEN:
            await self._context.store.restore(rows, given=given)
            self._given.written(given)
        if failed:
            await self._context.store.fail(failed, self._context.clock.now())
        self._context.hook("adopting: after commit")
        for message in taken:
            connection.acknowledge(message)
        self._given.acknowledged()
        self.drained += len(rows) + len(failed)
        if len(self._waiting) <= _BATCH:
            connection.resume()
        self._context.limited = self._context.expiring = True
        self._context.parked.notify()
        await asyncio.sleep(0)

    def _sort(
        self,
        connection: Connection,
        message: Message,
        rows: list[NewRow],
        failed: list[NewFailed],
    ) -> None:
        self._given.reads(connection, message)
        if message.topic == self._context.topics.session(self._client_id):
            self._marked = self._marked or message.payload == _MARK
            return
        if message.topic == self._dealt_topic and is_question(message.payload):
            return  # the census learns of this session from its adoption
        try:
            rows.append(self._row(message, Envelope.decode(message.payload)))
        except UnreadableMessage as error:
            failed.append(self._unreadable(message, error))

    def _row(self, message: Message, envelope: Envelope) -> NewRow:
        job_id = envelope.id or self._given.id_of(message)
        # Not a later attempt, that somebody has charged for this death already.
        running = self._running.get(row_key(envelope, job_id), 0)
        died = self._charge and running >= envelope.attempt
        now, tokens = self._context.clock.now(), self._context.tokens
        return returned_row(envelope, job_id, self._queue, tokens, now=now, died=died)

    def _unreadable(self, message: Message, error: UnreadableMessage) -> NewFailed:
        record_id, now = self._given.id_of(message), self._context.clock.now()
        return unreadable(message.payload, record_id, self._queue, error, now)
