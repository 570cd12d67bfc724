"""The audit log: who asked the scheduler to change what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.observe.answers import AuditLine, AuditPage
from routeq_mqtt.wire.observe.cursor import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.database import Database
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection

_KEPT = 90 * 86_400.0
_MOST = 100_000
_LONGEST_ARGS, _LONGEST = 1_000, 200
_BEYOND = 1 << 53


class AuditLog:
    """Lines of the last 90 days, 100,000 at most.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, at: float, by: str, how: str, what: str, args: str, outcome: str) -> None:
        """Write a line; texts that are too long are cut. `how`: see `AuditLine`.

        Raises:
            StoreUnavailable: it is not written.
        """
        line = (at, by[:_LONGEST], how, what[:_LONGEST], args[:_LONGEST_ARGS], outcome[:_LONGEST])
        await self._db.write(sql.AUDIT, [line])

    async def page(self, limit: int, cursor: str | None) -> AuditPage:
        """A page, newest first."""
        before = _BEYOND if cursor is None else int(float(decode_cursor(cursor)[0]))

        def read(db: SyncConnection) -> list[AuditLine]:
            return [
                AuditLine(
                    number=number, at=at, by=by, how=how, what=what, args=args, outcome=outcome
                )
                for number, at, by, how, what, args, outcome in db.execute(
                    sql.AUDIT_PAGE, (before, limit + 1)
                )
            ]

        lines = await self._db.look(read)
        rows = lines[:limit]
        following = encode_cursor([rows[-1].number]) if len(lines) > limit else None
        return AuditPage(rows=rows, next=following)

    async def tidy(self, now: float) -> None:
        """Delete lines that are too old or too many."""
        await self._db.write(sql.OLD_AUDIT, [(_MOST, now - _KEPT)])
