"""Batches: asked for their progress, cancelled as a whole, forgotten when long over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql_special

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control import Control

_KEPT = 7 * 86_400.0
_COLUMNS = (
    "id", "name", "created_at", "open", "total", "pending", "failed", "cancelled", "called_off",
    "finished_at",
)  # fmt: skip


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
            raise KeyError(f"no batch has the id {args['id']!r}")
        return dict(zip(_COLUMNS, rows[0], strict=True))

    async def _cancel(self, args: dict[str, Any]) -> object:
        """What waits at once, and what comes later; then what workers have."""
        context, batch = self._context, str(args["id"])
        now = context.clock.now()
        async with context.store.database.transaction() as work:
            await work.run(sql_special.CALL_OFF, (batch,))
            await work.run(sql_special.CANCEL_MEMBERS, (now, batch))
        context.hook("batch called off")
        members = await context.store.database.read(sql_special.RELEASED_MEMBERS, (batch,))
        await self._control.cancel([str(row[0]) for row in members])
        context.parked.fire()
        return await self._show(args)

    async def tidy(self, now: float) -> None:
        """Forget batches that were over long ago."""
        await self._context.store.database.write(sql_special.OLD_BATCHES, [(now - _KEPT,)])
