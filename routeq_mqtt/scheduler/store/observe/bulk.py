"""Actions on many failed records, as the database has them: they go on after a restart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.observe.failures import FailedFilter, Position
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.observe.answers import Bulk

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJob:
    """An action, and how far it is: what is shown of it, and where it goes on."""

    shown: Bulk
    wanted: FailedFilter
    position: Position


class BulkTable:
    """Reads and writes actions on many failed records.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def begin(self, bulk: Bulk) -> None:
        """Keep a new one."""
        wanted = {name: getattr(bulk, name) for name in _FILTER}
        values = (
            bulk.id, bulk.action, json.dumps(wanted), bulk.rate, bulk.until, bulk.total,
            bulk.started_at, bulk.by,
        )  # fmt: skip
        await self._db.write(sql.ADD_BULK, [values])
        await self._db.write(sql.OLD_BULKS, [()])

    async def all(self) -> list[Bulk]:
        """Newest first."""
        return [_read(columns).shown for columns in await self._db.read(sql.BULKS)]

    async def running(self) -> list[BulkJob]:
        """Those that are not over, oldest first."""
        return [_read(columns) for columns in await self._db.read(sql.BULKS_RUNNING)]

    async def one(self, bulk_id: str) -> Bulk | None:
        """One of them."""
        found = await self._db.read(sql.BULK, (bulk_id,))
        return _read(found[0]).shown if found else None

    async def advance(
        self, bulk_id: str, position: Position, *, done: int, skipped: int, error: str
    ) -> None:
        """These records are dealt with."""
        cursor = json.dumps(asdict(position))
        await self._db.write(sql.BULK_ON, [(cursor, done, skipped, error, error, bulk_id)])

    async def end(self, bulk_id: str, state: str, at: float) -> bool:
        """It is done, or was stopped; whether it was running."""
        return bool(await self._db.write(sql.BULK_OVER, [(state, at, bulk_id)]))


_FILTER = ("queue", "job", "reason", "exception", "text")


def _read(columns: Any) -> BulkJob:  # noqa: ANN401 - a row
    (bulk_id, action, state, wanted, cursor, rate, until, total, done, skipped, error, started_at,
     ended_at, by) = columns  # fmt: skip
    filters = {name: value for name, value in json.loads(wanted).items() if name in _FILTER}
    shown = Bulk(
        id=bulk_id, action=action, state=state, total=total, done=done, skipped=skipped,
        error=error, rate=rate, until=until, started_at=started_at, ended_at=ended_at, by=by,
        **filters,
    )  # fmt: skip
    position = json.loads(cursor) if cursor else {}
    if position.get("group") is not None:
        position["group"] = tuple(position["group"])
    return BulkJob(
        shown=shown,
        wanted=FailedFilter(**filters, until=until),
        position=Position(**position) if position else Position(),
    )
