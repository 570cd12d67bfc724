"""Batches: asked for their progress, cancelled as a whole, forgotten when long over."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql_special
from routeq_mqtt.scheduler.failing import new_failed
from routeq_mqtt.scheduler.schema_batches import SHOWN
from routeq_mqtt.scheduler.store import keep_failed
from routeq_mqtt.wire.record import FailedRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control import Control
    from routeq_mqtt.scheduler.database import Database, Transaction

log = logging.getLogger(__name__)

_KEPT = 7 * 86_400.0

INCOMPLETE_AFTER = 3_600.0
"""Seconds without another part, after which a batch that is not complete is called off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch that is begun or added to.

    Attributes:
        open: more of its jobs come in other messages.
    """

    id: str
    name: str | None
    open: bool


class Batches:
    """Answers what is asked about batches.

    Args:
        context: what the roles share.
        control: cancels those of its jobs that workers have.
    """

    def __init__(self, context: Context, control: Control) -> None:
        self._context = context
        self._control = control
        self.methods: dict[str, Callable[[dict[str, Any]], Awaitable[object]]] = {
            "batch.show": self._show,
            "batch.cancel": self._cancel,
        }

    async def _show(self, args: dict[str, Any]) -> object:
        rows = await self._context.store.database.read(sql_special.BATCH, (str(args["id"]),))
        if not rows:
            raise LookupError(f"no batch or broadcast has the id {args['id']!r}")
        return dict(zip(SHOWN, rows[0], strict=True))

    async def _cancel(self, args: dict[str, Any]) -> object:
        """What waits at once, and what comes later; then what workers have."""
        context, batch = self._context, str(args["id"])
        now = context.clock.now()
        async with context.store.database.transaction() as work:
            await _call_off(work, batch, now)
        context.hook("batch called off")
        members = await context.store.database.read(sql_special.RELEASED_MEMBERS, (batch,))
        await self._control.cancel([str(row[0]) for row in members])
        context.parked.fire()
        return await self._show(args)

    async def tidy(self, now: float) -> None:
        """Forget batches that were over long ago; call off those that will not be complete."""
        await self._context.store.database.write(sql_special.OLD_BATCHES, [(now - _KEPT,)])
        if await drop_incomplete(self._context.store.database, now):
            await self._context.results.look()
            self._context.parked.fire()


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
            await keep_failed(work, [new_failed(record)], now)
    return len(found)


async def _call_off(work: Transaction, batch: str, now: float) -> None:
    """What waits is over, and nothing comes to it any more; one that was never closed is now."""
    await work.run(sql_special.CALL_OFF, (batch,))
    await work.run(sql_special.CANCEL_MEMBERS, (now, batch))
    await work.run(sql_special.CLOSE_BATCH, (batch,))
