"""Takes in jobs that need a decision: in one transaction with their rows.

A lock goes with its job: triggers delete it in the transaction that ends the job, however it ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.scheduler import sql, sql_special
from routeq_mqtt.scheduler.rows import as_it_is
from routeq_mqtt.wire.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.batches import NewBatch
    from routeq_mqtt.scheduler.claims import Claim
    from routeq_mqtt.scheduler.database import Database, Transaction, Values
    from routeq_mqtt.scheduler.rows import Moved, NewRow
    from routeq_mqtt.security.guard import Guard


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
            already. The same row again gets the same answer for as long as its job is there.
        """
        answers = {}
        async with self._db.transaction() as work:
            begun = [b for b in batches if (await work.read(sql_special.IS_OPEN, (b.id,)))[0][0]]
            for batch in batches:
                await work.run(sql_special.BEGIN_BATCH, (batch.id, batch.name, now))
            parts = {batch.id for batch in batches if batch.open}
            seq = int((await work.read(sql.READ_SEQ))[0][0])
            for number, row in enumerate(map(moved, rows), 1):
                waits = row.batch in parts and row.state == "parked"
                one = replace(row, state="held") if waits else row
                answers[row.id] = await self._admit(work, one, seq + number, now)
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

    async def _admit(self, work: Transaction, row: NewRow, seq: int, now: float) -> str:
        known = await work.read(sql_special.IS_NEWS, (row.id, row.attempt, row.deliveries))
        if known and not known[0][0]:
            return row.id
        if row.claim is not None:
            other = await self._claim(work, row, row.claim, now)
            if other is not None:
                await work.run(sql_special.TURN_AWAY, (now, row.id))
                return other
        await work.run(
            sql_special.TAKE,
            (
                row.id, row.queue, row.attempt, row.deliveries, row.state, row.run_at, seq,
                row.durable, row.expires_at, row.envelope, row.chain, row.step, row.batch, row.lane,
                row.era,
            ),
        )  # fmt: skip
        return row.id

    async def _claim(self, work: Transaction, row: NewRow, claim: Claim, now: float) -> str | None:
        """Get the lock, or return the id of the job that has it."""
        holder = await work.read(sql_special.HOLDER, (claim.key, now))
        if holder and holder[0][0] != row.id:
            other = str(holder[0][0])
            if claim.replaces is None or await self._replace(work, row, other, now):
                return other
        await work.run(sql_special.LOCK, (claim.key, row.id, claim.until, claim.ends))
        return None

    async def _replace(self, work: Transaction, row: NewRow, other: str, now: float) -> bool:
        """Put a newcomer's content into a job that waits for its first run; False: none waits."""
        try:
            envelope = self._guard.rename(Envelope.decode(row.envelope), other, now)
        except RefusedJob:
            return False  # signed, and not with our keys: it remains a job of its own
        values = (row.run_at, row.era, envelope.encode(), other)
        return bool(await work.run(sql_special.REPLACE_CONTENT, values))

    async def started(self, ids: Iterable[str]) -> None:
        """These jobs have begun to run: another one with their key may come."""
        await self._db.write(sql_special.STARTED, [(job_id,) for job_id in ids])

    async def tidy(self, now: float) -> None:
        """Delete locks that have lapsed."""
        await self._db.write(sql_special.LAPSED, [(now,)])
