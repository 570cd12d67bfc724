"""Works off actions on many failed records, at their rate; goes on after a restart."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.control.asker import ASKER
from routeq_mqtt.scheduler.store.observe import failures
from routeq_mqtt.scheduler.store.observe.bulk import BulkJob, BulkTable
from routeq_mqtt.scheduler.store.observe.failures import FailedFilter, Position
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.answers import Bulk

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.failed_records import FailedRecords
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.wire.messages import requests

log: logging.Logger = logging.getLogger(__name__)

_AT_ONCE = 100
"""Records of one step: the transactions of other roles come in between."""

_SCANNED_AT_ONCE = 1_000
_RETRY_AFTER = 5.0


class BulkRunner:
    """Retries or deletes failed records that match, a few at a time.

    A step is committed before its position is: a scheduler that dies in between finds that those
    records are gone, and goes on behind them.

    Args:
        context: what the roles share.
        records: retries and deletes.
    """

    def __init__(self, context: Context, records: FailedRecords) -> None:
        self._context = context
        self._records = records
        self._table = BulkTable(context.store.database)
        self._news = Notifier()
        self._due: dict[str, float] = {}
        self.methods: requests.Methods = {
            asks.FailedBulk: self._begin,
            asks.BulkList: self._list,
            asks.BulkStop: self._stop,
        }

    async def _begin(self, asked: asks.FailedBulk) -> object:
        context = self._context
        now = context.clock.now()
        until = now if asked.until is None else asked.until
        wanted = FailedFilter(
            queue=asked.queue, job=asked.job, reason=asked.reason, exception=asked.exception,
            text=asked.text, until=until,
        )  # fmt: skip
        total, _ = await context.store.database.look(lambda db: failures.count(db, wanted))
        bulk = Bulk(
            id=new_id(), action=asked.action, state="running", total=total, queue=asked.queue,
            job=asked.job, reason=asked.reason, exception=asked.exception, text=asked.text,
            rate=asked.rate, until=until, started_at=now, by=ASKER.get(),
        )  # fmt: skip
        await self._table.begin(bulk)
        self._news.notify()
        return asdict(bulk)

    async def _list(self, asked: asks.BulkList) -> object:
        return [asdict(bulk) for bulk in await self._table.all()]

    async def _stop(self, asked: asks.BulkStop) -> object:
        await self._table.end(asked.id, "stopped", self._context.clock.now())
        bulk = await self._table.one(asked.id)
        if bulk is None:
            raise LookupError(f"no such action: {asked.id!r}; bulk.list names them")
        return asdict(bulk)

    async def run(self) -> None:
        """Step by step, for as long as there are any."""
        while True:
            seen = self._news.fired
            try:
                wait = await self.step()
            except StoreUnavailable as error:
                log.warning("cannot go on with failed records: %s", error)
                wait = _RETRY_AFTER
            if wait is None or wait > 0:
                await self._news.wait(wait, since=seen)
            else:
                await asyncio.sleep(0)

    async def step(self) -> float | None:
        """One step of each that is due; seconds until the next one, None: there is none.

        Raises:
            StoreUnavailable: try again.
        """
        waits = []
        for job in await self._table.running():
            now = self._context.clock.monotonic()
            due: float | None = self._due.get(job.shown.id, now)
            if due is not None and due <= now:
                due = await self._advance(job, now)
            if due is not None:
                waits.append(due - now)
        return max(0.0, min(waits)) if waits else None

    async def _advance(self, job: BulkJob, now: float) -> float | None:
        """Take the next records; when the ones after them are due. None: it is over."""
        shown, rate = job.shown, job.shown.rate
        most = _AT_ONCE if rate is None else max(1, min(_AT_ONCE, int(rate)))
        ids, position, over = await self._context.store.database.look(
            lambda db: _next(db, job, most)
        )
        done, skipped, error = await self._act(shown.action, ids)
        await self._table.advance(shown.id, position, done=done, skipped=skipped, error=error)
        if over:
            await self._table.end(shown.id, "done", self._context.clock.now())
            self._due.pop(shown.id, None)
            log.info("%s of failed records id=%s is done", shown.action, shown.id)
            return None
        due = now if rate is None else now + len(ids) / rate
        self._due[shown.id] = due
        return due

    async def _act(self, action: str, ids: list[str]) -> tuple[int, int, str]:
        """How many were dealt with, and how many were not, and why the last one was not."""
        if not ids:
            return 0, 0, ""
        if action == "forget":
            return await self._records.forget(ids), 0, ""
        answer = await self._records.retry(ids, named=False)
        skipped = answer["skipped"]
        error = skipped[-1]["error"] if skipped else ""
        return len(answer["retried"]), len(skipped), error[:500]


def _next(db: SyncConnection, job: BulkJob, most: int) -> tuple[list[str], Position, bool]:
    """Ids of the next records, where they end, and whether these are the last ones."""
    ids: list[str] = []
    position = job.position
    scanned = 0
    for position, matching in islice(failures.walk(db, job.wanted, job.position), _SCANNED_AT_ONCE):
        scanned += 1
        if matching:
            ids.append(position.id)
            if len(ids) >= most:
                return ids, position, False
    return ids, position, scanned < _SCANNED_AT_ONCE
