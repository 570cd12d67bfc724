"""Takes in jobs that need a decision: in one transaction with their rows.

A lock goes with its job: triggers delete it in the transaction that ends the job, however it ends.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.scheduler.features.membership import Memberships
from routeq_mqtt.scheduler.store.failed_records import refused_row
from routeq_mqtt.scheduler.store.failed_rows import keep_failed
from routeq_mqtt.scheduler.store.identity import told_apart
from routeq_mqtt.scheduler.store.rows import as_it_is
from routeq_mqtt.scheduler.store.schema.identity import OWN
from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.scheduler.store.sql import special as sql_special
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.store.database import Database, Transaction
    from routeq_mqtt.scheduler.store.engines.engine import Values
    from routeq_mqtt.scheduler.store.rows import Claim, Ended, Moved, NewBatch, NewRow
    from routeq_mqtt.security.guard import Guard

log: logging.Logger = logging.getLogger(__name__)

_ANSWERS_KEPT = 3_600.0
"""Seconds for which a job that was turned away, and sent again, gets the same answer."""


class Admission:
    """Jobs with claims, safe on disk or turned away when a call returns.

    Args:
        database: where they are.
        guard: signs a job again that gets another's id.
    """

    def __init__(self, database: Database, guard: Guard) -> None:
        self._db = database
        self._guard = guard

    async def take(
        self,
        rows: Sequence[NewRow],
        now: float,
        *,
        batches: Sequence[NewBatch] = (),
        more: Sequence[tuple[str, Values]] = (),
        moved: Moved = as_it_is,
    ) -> dict[str, str]:
        """Take rows in, and the batches that they belong to.

        Args:
            rows: to take in.
            now: UTC epoch seconds.
            batches: begun, or closed, with them. The jobs of one that comes in several messages
                are held until the last of them has come.
            more: further statements of the same transaction.
            moved: asked when it is our turn: the clock may have been set since a row was counted.

        Returns:
            For each row's id the id to answer with: its own, or that of the job that is there
            already. The same row again gets the same answer: for as long as its job is there, or
            for an hour.
        """
        answers = {}
        async with self._db.transaction() as work:
            begun = [b for b in batches if (await work.read(sql_special.IS_OPEN, (b.id,)))[0][0]]
            for batch in batches:
                await work.run(sql_special.BEGIN_BATCH, (batch.id, batch.name, now))
            parts = {batch.id for batch in batches if batch.open}
            seq = int((await work.read(sql.READ_SEQ))[0][0])
            apart = await told_apart(work, [moved(row) for row in rows], self._db.tokens)
            members = await Memberships.load(work, apart)
            for number, (asked, row) in enumerate(zip(rows, apart, strict=True), 1):
                waits = row.batch in parts and row.state == "parked"
                one = replace(row, state="held") if waits else row
                answers[asked.id] = await self._admit(work, one, members, seq + number, now)
            await work.run(sql.WRITE_SEQ, (seq + len(rows),))
            for statement, values in more:
                await work.run(statement, values)
            # Not earlier: a batch that is closed and has nothing to do is over.
            for batch in batches:
                if not batch.open:
                    if batch in begun:
                        await work.run(sql_special.START_BATCH, (batch.id, now))
                    await work.run(sql_special.CLOSE_BATCH, (batch.id,))
        return answers

    async def _admit(
        self, work: Transaction, row: NewRow, members: Memberships, seq: int, now: float
    ) -> str:
        known = await work.read(sql_special.IS_NEWS, (row.id, row.attempt, row.deliveries))
        comes_back = row.proven or row.origin not in {None, OWN}
        if known and not (comes_back and known[0][0]):
            return row.id
        answered = await work.read(sql_special.ANSWERED, (row.id,))
        if answered:
            return str(answered[0][0])
        why = "" if known else members.refuses(row)
        if why:
            log.warning("refused, it may not join: %s id=%s queue=%s", why, row.id, row.queue)
            await keep_failed(work, [refused_row(row, why, now)], now, self._db.tokens)
            return row.id
        if row.claim is not None:
            other = await self._claim(work, row, row.claim, now)
            if other is not None:
                await work.run(sql_special.TURN_AWAY, (now, row.id))
                await work.run(sql_special.ANSWER, (row.id, other, now))
                return other
        await work.run(
            sql_special.TAKE,
            (
                row.id, row.queue, row.attempt, row.deliveries, row.state, row.run_at, seq,
                row.durable, row.expires_at, row.envelope, row.chain, row.step, row.batch, row.lane,
                row.era, row.origin,
            ),
        )  # fmt: skip
        return row.id

    async def _claim(self, work: Transaction, row: NewRow, claim: Claim, now: float) -> str | None:
        """Get the lock, or return the id of the job that has it."""
        holder = await work.read(sql_special.HOLDER, (*claim.key, now))
        if holder and holder[0][0] != row.id:
            other = str(holder[0][0])
            if claim.replaces is None or await self._replace(work, row, other, now):
                return other
        await work.run(sql_special.LOCK, (*claim.key, row.id, claim.until, claim.ends))
        return None

    async def _replace(self, work: Transaction, row: NewRow, other: str, now: float) -> bool:
        """Put a newcomer's content into a job that waits for its first run; False: none waits."""
        try:
            job_id = await self._id_of(work, other)
            envelope = self._guard.rename(Envelope.decode(row.envelope), job_id, now)
            tokens = self._db.tokens
            options = tokens.admitted(envelope.options, job_id, row.queue)
            envelope = envelope.evolve(row=tokens.row(other, job_id), options=options)
        except RefusedJob:
            return False  # signed, and not with our keys: it remains a job of its own
        values = (
            row.run_at, row.era, envelope.encode(), row.queue, row.expires_at, row.lane,
            row.durable, other,
        )  # fmt: skip
        return bool(await work.run(sql_special.REPLACE_CONTENT, values))

    async def _id_of(self, work: Transaction, key: str) -> str:
        """The id of the job whose row has this key."""
        found = await work.read(sql.GET, (key,)) if "~" in key else []
        if not found or not found[0][9]:
            return key
        return Envelope.decode(bytes(found[0][9])).id or key

    async def started(self, outcomes: Iterable[Ended]) -> None:
        """These jobs have begun to run: another one with their key may come."""
        values = [(key, proven) for key, _, proven in outcomes]
        await self._db.write(sql_special.STARTED, values)

    async def tidy(self, now: float) -> None:
        """Delete locks that have lapsed, and answers that are no longer needed."""
        await self._db.write(sql_special.LAPSED, [(now,)])
        await self._db.write(sql_special.OLD_ANSWERS, [(now - _ANSWERS_KEPT,)])
