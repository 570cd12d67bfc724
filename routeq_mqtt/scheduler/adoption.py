"""Takes over one dead session and drains it into rows.

A client that connects with the dead one's identifier gets its unacknowledged messages and then its
queued ones; a marker published to the session's own topic comes last. Every message is a row,
committed, before it is acknowledged. Killed half-way, the next adoption finds the rest: the session
is kept until it is drained, and a row does not take the same message twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.scheduler.failing import new_failed
from routeq_mqtt.scheduler.returned import returned_row
from routeq_mqtt.signal import Signal
from routeq_mqtt.transport.seam import ConnectOptions
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.record import FailedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.rows import NewFailed, NewRow
    from routeq_mqtt.transport.seam import Connection, Message, Transport

log = logging.getLogger(__name__)

_SESSION_EXPIRY = 7 * 86_400
_BATCH = 500
_HIGH = 2_000
_MARK = b"adopted"


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
        self._waiting: deque[Message] = deque()
        self._arrived = Signal()
        self._connection: Connection | None = None
        self._marked = False
        self.drained = 0

    async def run(self) -> None:
        """Drain the session and end it.

        Raises:
            ConnectionLost: the connection ended first; run another adoption.
            ConnectionFailed: the broker was not reached.
        """
        options = ConnectOptions(
            self._client_id, persistent=True, session_expiry=_SESSION_EXPIRY, receive_maximum=_HIGH
        )
        connection = await self._transport.connect(options, self._take)
        self._connection = connection
        connection.lost.add_done_callback(lambda lost: self._arrived.fire())
        # Beside the draining: the broker's answers come behind what it has sent already.
        ending = asyncio.create_task(self._mark_the_end(connection), name="adoption-mark")
        try:
            while not (self._marked and not self._waiting):
                if connection.lost.done():
                    raise ConnectionLost(f"lost while adopting {self._client_id}")
                if not self._waiting:
                    await self._arrived.wait()
                    continue
                await self._drain(connection)
        except BaseException:
            await connection.close()
            raise
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        await connection.close(end_session=True)

    async def _mark_the_end(self, connection: Connection) -> None:
        own = self._context.topics.session(self._client_id)
        await connection.unsubscribe(*self._context.topics.shared(self._queue))
        await connection.subscribe(own)
        await connection.publish(own, _MARK)

    def _take(self, message: Message) -> None:
        self._waiting.append(message)
        self._arrived.fire()
        if len(self._waiting) >= _HIGH and self._connection is not None:
            self._connection.pause()

    async def _drain(self, connection: Connection) -> None:
        """One batch: rows, commit, acknowledge."""
        taken = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        rows: list[NewRow] = []
        failed: list[NewFailed] = []
        for message in taken:
            self._sort(message, rows, failed)
        self._context.hook("adopting: before commit")
        if rows:
            await self._context.store.restore(rows)
        if failed:
            await self._context.store.fail(failed, self._context.clock.now())
        self._context.hook("adopting: after commit")
        for message in taken:
            connection.acknowledge(message)
        self.drained += len(rows) + len(failed)
        if len(self._waiting) <= _BATCH:
            connection.resume()
        self._context.limited = self._context.expiring = True
        self._context.parked.fire()
        await asyncio.sleep(0)

    def _sort(self, message: Message, rows: list[NewRow], failed: list[NewFailed]) -> None:
        if message.topic == self._context.topics.session(self._client_id):
            self._marked = self._marked or message.payload == _MARK
            return
        try:
            rows.append(self._row(message, Envelope.decode(message.payload)))
        except UnreadableMessage as error:
            failed.append(self._unreadable(message, error))

    def _row(self, message: Message, envelope: Envelope) -> NewRow:
        job_id = envelope.id or self._id_of(message)
        # Not a later attempt, that somebody has charged for this death already.
        died = self._charge and self._running.get(job_id, 0) >= envelope.attempt
        now = self._context.clock.now()
        return returned_row(envelope, job_id, self._queue, now=now, died=died)

    def _id_of(self, message: Message) -> str:
        """The same id for the same message of this session, should we drain it twice."""
        named = f"{self._client_id}#{message.packet_id}#".encode()
        return hashlib.blake2b(named + message.payload, digest_size=16).hexdigest()

    def _unreadable(self, message: Message, error: UnreadableMessage) -> NewFailed:
        return new_failed(
            FailedRecord(
                id=self._id_of(message),
                queue=self._queue,
                job=None,
                reason="unreadable",
                error=str(error),
                attempts=[],
                worker=None,
                failed_at=self._context.clock.now(),
                envelope=message.payload,
            )
        )
