"""Answers requests about failed records: shows them, runs them again, deletes them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RefusedJob, UnreadableMessage
from routeq_mqtt.scheduler.store.rows import NewRow
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.options import from_the_start
from routeq_mqtt.wire.envelopes.record import REFUSED, FailedRecord
from routeq_mqtt.wire.messages import requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.rows import FailedRow
    from routeq_mqtt.security.guard import Guard

_MOST_LISTED = 1_000


class FailedRecords:
    """Failed records, by id or all of a queue.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.methods: requests.Methods = {
            requests.FailedList: self._failed_list,
            requests.FailedShow: self._failed_show,
            requests.FailedRetry: self._failed_retry,
            requests.FailedForget: self._failed_forget,
            requests.FailedFlush: self._failed_flush,
        }

    async def _failed_list(self, asked: requests.FailedList) -> object:
        summaries = await self._context.store.failed_list(
            asked.queue,
            limit=min(asked.limit, _MOST_LISTED),
            job=asked.job,
            after=None if asked.before is None else (asked.before, asked.after_id or ""),
        )
        return [asdict(summary) for summary in summaries]

    async def _failed_show(self, asked: requests.FailedShow) -> object:
        row = await self._one(asked.id)
        record = FailedRecord.decode(row.record)
        shown = {name: getattr(record, name) for name in _SHOWN}
        try:
            shown["data"] = Envelope.decode(record.envelope).data
        except UnreadableMessage:
            shown["data"] = None
        return shown

    async def _one(self, job_id: str) -> FailedRow:
        row = await self._context.store.failed_get(job_id)
        if row is None:
            raise LookupError(f"no failed record has the id {job_id!r}")
        return row

    async def _failed_retry(self, asked: requests.FailedRetry) -> object:
        """Back to their queues, from the first attempt; what is unreadable stays."""
        ids = await self._chosen(asked)
        return await self.retry(ids, named=bool(asked.ids))

    async def retry(self, ids: Sequence[str], *, named: bool) -> dict[str, Any]:
        """Failed jobs back to their queues; `named`: an operator has looked at each."""
        rows, skipped = [], []
        for job_id in ids:
            row = await self._context.store.failed_get(job_id)
            try:
                if row is None:
                    raise UnreadableMessage("no failed record has this id")
                rows.append(self._row_of(FailedRecord.decode(row.record), row.origin, named=named))
            except UnreadableMessage as error:  # RefusedJob among them
                skipped.append({"id": job_id, "error": str(error)})
        await self._context.store.failed_retry([row.id for row in rows], rows)
        self._context.limited = True
        self._context.parked.notify()
        return {"retried": [row.id for row in rows], "skipped": skipped}

    def _row_of(self, record: FailedRecord, origin: bytes | None, *, named: bool) -> NewRow:
        envelope = Envelope.decode(record.envelope)
        job_id = envelope.id or record.id
        again = envelope.evolve(
            id=job_id,
            queue=record.queue,
            stored=True,
            row=self._context.tokens.row(record.id, job_id),
            attempt=1,
            deaths=0,
            deliveries=envelope.deliveries + 1,
            errors=[],
            dispatched_at=self._context.clock.now(),
            options=from_the_start(envelope.options),
            delay=None,
            run_at=None,
            expires_at=None,
        )
        guard, now = self._context.guard, self._context.clock.wall()
        if named or record.reason != REFUSED:
            again = guard.run_again(again, now)
        elif guard.signer is not None:
            # It may be an old one that somebody sent again: signed anew only by name.
            _check_refused(guard, again, now)
        return NewRow(
            id=record.id,
            origin=origin,
            queue=record.queue,
            attempt=1,
            deliveries=again.deliveries,
            state="parked",
            run_at=self._context.clock.now(),
            durable=False,
            expires_at=None,
            envelope=again.encode(),
        )

    async def _chosen(self, asked: requests.FailedRetry | requests.FailedForget) -> list[str]:
        if asked.ids:
            return asked.ids
        if asked.all:
            return await self._context.store.failed_ids(asked.queue)
        raise ValueError("name ids, or say all")

    async def _failed_forget(self, asked: requests.FailedForget) -> object:
        return {"forgotten": await self.forget(await self._chosen(asked))}

    async def forget(self, ids: Sequence[str]) -> int:
        """Delete failed records; how many."""
        forgotten = await self._context.store.failed_forget(ids)
        await self._context.results.look()  # what waited behind them in a chain went, too
        return forgotten

    async def _failed_flush(self, asked: requests.FailedFlush) -> object:
        return {"forgotten": await self._context.store.failed_flush(asked.queue)}


def _check_refused(guard: Guard, envelope: Envelope, now: float) -> None:
    try:
        guard.admit(envelope, now)
    except RefusedJob as error:
        raise RefusedJob(
            f"{error}; if it is to run: look at it (failed show), and name it (failed retry <id>)"
        ) from None


_SHOWN = ("id", "queue", "job", "reason", "error", "attempts", "worker", "failed_at", "envelope")
