"""Batches: asked for their progress, cancelled as a whole, forgotten when long over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.failed_records import new_failed
from routeq_mqtt.scheduler.store.failed_rows import keep_failed
from routeq_mqtt.scheduler.store.schema.batches import SHOWN
from routeq_mqtt.scheduler.store.sql import special as sql_special
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.messages import requests

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.orders import Control
    from routeq_mqtt.scheduler.store.database import Database, Transaction

log: logging.Logger = logging.getLogger(__name__)

_KEPT = 7 * 86_400.0

INCOMPLETE_AFTER = 3_600.0
"""Seconds without another part, after which a batch that is not complete is called off."""


class Batches:
    """Answers what is asked about batches.

    Args:
        context: what the roles share.
        control: cancels those of its jobs that workers have.
    """

    def __init__(self, context: Context, control: Control) -> None:
        self._context = context
        self._control = control
        self.methods: requests.Methods = {
            requests.BatchShow: self._show,
            requests.BatchCancel: self._cancel,
        }

    async def _show(self, asked: requests.BatchShow) -> object:
        rows = await self._context.store.database.read(sql_special.BATCH, (asked.id,))
        if not rows:
            raise LookupError(f"no batch or broadcast has the id {asked.id!r}")
        return dict(zip(SHOWN, rows[0], strict=True))

    async def _cancel(self, asked: requests.BatchCancel) -> object:
        """What waits at once, and what comes later; then what workers have."""
        context, batch = self._context, asked.id
        now = context.clock.now()
        async with context.store.database.transaction() as work:
            await _call_off(work, batch, now)
        context.hook("batch called off")
        members = await context.store.database.read(sql_special.RELEASED_MEMBERS, (batch,))
        await self._control.cancel([str(row[0]) for row in members])
        context.parked.notify()
        return await self._show(requests.BatchShow(id=batch))

    async def tidy(self, now: float) -> None:
        """Forget batches that were over long ago; call off those that will not be complete."""
        await self._context.store.database.write(sql_special.OLD_BATCHES, [(now - _KEPT,)])
        headless = [(now, now - INCOMPLETE_AFTER)]
        await self._context.store.database.write(sql_special.DROP_HEADLESS, headless)
        if await drop_incomplete(self._context.store.database, now):
            await self._context.results.look()
            self._context.parked.notify()


async def drop_incomplete(database: Database, now: float) -> int:
    """Call off batches whose producer died between two messages; how many.

    None of their jobs has run. `finally_` does, and a failed record under the batch's id says so.
    """
    async with database.transaction() as work:
        found = await work.read(sql_special.INCOMPLETE, (now - INCOMPLETE_AFTER,))
        for batch, name, total, queue in found:
            log.error("a batch stayed incomplete, called off batch=%s jobs=%d", batch, total)
            await _call_off(work, batch, now)
            record = FailedRecord(
                id=batch,
                queue=queue or "default",
                job=name,
                reason="incomplete batch",
                error=(
                    f"its producer sent {total} jobs and then no more for "
                    f"{INCOMPLETE_AFTER:g} s; none of them has run: dispatch the batch again"
                ),
                attempts=[],
                worker=None,
                failed_at=now,
                envelope=b"",
            )
            await keep_failed(work, [new_failed(record)], now, database.tokens)
    return len(found)


async def _call_off(work: Transaction, batch: str, now: float) -> None:
    """What waits is over, and nothing comes to it any more; one that was never closed is now."""
    await work.run(sql_special.CALL_OFF, (batch,))
    await work.run(sql_special.CANCEL_MEMBERS, (now, batch))
    await work.run(sql_special.CLOSE_BATCH, (batch,))
