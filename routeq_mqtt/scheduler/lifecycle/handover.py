"""A scheduler that must leave gives its rows to the one that stays.

Two that were started at once, each with a database of its own, both took messages in. What the
later one has would lie in its database until somebody starts it again. Chains and batches do.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import RouteqError, UnreadableMessage
from routeq_mqtt.scheduler.store.failed_records import unreadable
from routeq_mqtt.scheduler.store.rows import read_rows
from routeq_mqtt.scheduler.store.sql import handover as sql_handover
from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.options import undecided

if TYPE_CHECKING:
    from collections.abc import Collection

    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
    from routeq_mqtt.scheduler.store.rows import Row
    from routeq_mqtt.scheduler.store.store import Store

log: logging.Logger = logging.getLogger(__name__)

_BATCH = 500
_WITHIN = 60.0
"""Seconds for all of it."""

_START_ALONE = "stop the other scheduler and start one with this file, until they are done"


class Handover:
    """Sends every row on as its producer did, and forgets it after the PUBACK.

    Args:
        store: what we have.
        sender: a connection under another name: ours is the other scheduler's now.
    """

    def __init__(self, store: Store, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._topics = sender.topics

    async def run(self, unconfirmed: Collection[str]) -> int:
        """Hand over what no worker has; how many jobs of chains and batches stay.

        Args:
            unconfirmed: released rows whose PUBACK we did not see.

        Raises:
            NoScheduler, PublishRefused, ConnectionLost: the rest stays here, and is not lost.
        """
        database = self._store.database
        await self._store.park(unconfirmed)
        number = 0
        for statement in (sql_handover.PARKED, sql_handover.LIMITED, sql_handover.DELAYED):
            while rows := read_rows(await database.read(statement, (_BATCH,))):
                await self._send(rows)
                number += len(rows)
        for (job_id,) in await database.read(sql_handover.FAILED_IDS):
            failed = await self._store.failed_get(str(job_id))
            if failed is not None:
                await self._sender.to_scheduler(self._topics.failed, failed.record)
                await self._store.failed_forget([failed.id])
                number += 1
        log.info("handed over rows=%d", number)
        return int((await database.read(sql_handover.STAYING))[0][0])

    async def _send(self, rows: list[Row]) -> None:
        for row in rows:
            try:
                envelope = _undecided(Envelope.decode(row.envelope))
            except UnreadableMessage as error:
                record_id = f"{row.id}-unreadable"
                record = unreadable(row.envelope, record_id, row.queue, error, row.run_at)
                await self._sender.to_scheduler(self._topics.failed, record.record)
                continue
            # Not to its queue: the embedded broker would give it to a worker, also if the other
            # scheduler, which got the same message again, has run it meanwhile.
            run_at = row.run_at if row.state == "delayed" else None
            message = envelope.evolve(queue=row.queue, stored=False, row=None, run_at=run_at)
            await self._sender.to_scheduler(self._topics.schedule, message.encode())
        ids = [(row.id,) for row in rows]
        async with self._store.database.transaction() as work:
            await work.many(sql.FORGET, ids)
            await work.many(sql_handover.FORGET_LOCKS, ids)
            await work.many(sql_handover.FORGET_SLOTS, ids)


def _undecided(envelope: Envelope) -> Envelope:
    """The locks and slots of a job are the other's to give: it decides anew.

    Not on one that has run: it must not be turned away for the like of it that came later.
    """
    if envelope.attempt > 1 and "unique_key" in envelope.options:
        return envelope
    return envelope.evolve(options=undecided(envelope.options))


async def hand_over(
    store: Store, sender: Sender, unconfirmed: Collection[str], db: DatabasePlace
) -> None:
    """Connect and hand over; say what stays here, and what to do about it.

    Args:
        store: what we have.
        sender: see `Handover`; its connection ends with this.
        unconfirmed: released rows whose PUBACK we did not see.
        db: the database of the store.
    """
    sender.link.start()
    try:
        async with asyncio.timeout(_WITHIN):
            await sender.link.ready()
            staying = await Handover(store, sender).run(unconfirmed)
        if staying:
            log.error("%d jobs of chains and batches stay in db=%s: %s", staying, db, _START_ALONE)
    except (TimeoutError, RouteqError) as error:
        log.error("rows stay in db=%s: %s: %s", db, _START_ALONE, error)
    finally:
        await sender.link.close()
