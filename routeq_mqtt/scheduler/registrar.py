"""Answers requests: sizes, failed records. One method of this class for each method on the wire."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RefusedJob, RouteqError, UnreadableMessage
from routeq_mqtt.scheduler.rows import Counts, NewRow
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.options import from_the_start
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.wire.record import REFUSED, FailedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.presence.status import SchedulerStatus
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.rows import FailedRow
    from routeq_mqtt.security.guard import Guard
    from routeq_mqtt.transport.seam import Message

log = logging.getLogger(__name__)

Method = Callable[[dict[str, Any]], Awaitable[object]]


async def _at_once() -> None:
    """There is nothing to wait for."""


class Registrar:
    """Requests over ``routeq/rpc/<method>``.

    Args:
        context: what the roles share.
        status: of this scheduler.
        others: methods of other roles, by their names on the wire.
    """

    def __init__(
        self, context: Context, status: SchedulerStatus, others: Mapping[str, Method]
    ) -> None:
        self._context = context
        self._status = status
        self._methods: dict[str, Method] = {
            "ping": self._ping,
            "sizes": self._sizes,
            "failed.list": self._failed_list,
            "failed.show": self._failed_show,
            "failed.retry": self._failed_retry,
            "failed.forget": self._failed_forget,
            "failed.flush": self._failed_flush,
            **others,
        }

    async def answer(
        self, message: Message, behind: Callable[[], Awaitable[None]] = _at_once
    ) -> None:
        """Answer one request; a request that makes no sense gets an error, and stops nothing.

        Args:
            message: the request.
            behind: waits until the jobs that came before it are rows: who dispatches a job and then
                asks for it is not told that nobody knows it.
        """
        name = message.topic.removeprefix(self._context.topics.rpc(""))
        try:
            request = unpack(message.payload)
            args = request.get("args") or {}
        except (UnreadableMessage, AttributeError):
            log.warning("unreadable request topic=%s", message.topic)
            return
        method = self._methods.get(name)
        if method is None or not isinstance(args, dict):
            known = ", ".join(sorted(self._methods))
            self._context.reply(request, error=f"no method {name!r}; there are: {known}")
            return
        try:
            if name in _OF_JOBS:
                await behind()
            result = await method(args)
        except (RouteqError, TypeError, ValueError, LookupError) as error:
            self._context.reply(request, error=f"{name}: {error}")
        else:
            self._context.reply(request, result=result)

    async def _ping(self, args: dict[str, Any]) -> object:
        return asdict(self._status) | {"now": self._context.clock.now()}

    async def _sizes(self, args: dict[str, Any]) -> object:
        sizes: dict[str, dict[str, Any]] = {
            queue: asdict(count) for queue, count in (await self._context.store.counts()).items()
        }
        for kind, queue in self._context.orders.all():
            if kind == "paused":
                sizes.setdefault(queue, asdict(Counts()))["paused"] = True
        for queue, rate in self._context.orders.rates.items():
            sizes.setdefault(queue, asdict(Counts()))["rate"] = list(rate)
        return sizes

    # -- failed records ------------------------------------------------------------------------

    async def _failed_list(self, args: dict[str, Any]) -> object:
        summaries = await self._context.store.failed_list(
            args.get("queue"), limit=min(int(args.get("limit", 100)), 1_000)
        )
        return [asdict(summary) for summary in summaries]

    async def _failed_show(self, args: dict[str, Any]) -> object:
        row = await self._one(str(args["id"]))
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

    async def _failed_retry(self, args: dict[str, Any]) -> object:
        """Back to their queues, from the first attempt; what is unreadable stays."""
        ids = await self._chosen(args)
        named = bool(args.get("ids"))
        rows, skipped = [], []
        for job_id in ids:
            row = await self._context.store.failed_get(job_id)
            try:
                if row is None:
                    raise UnreadableMessage("no failed record has this id")
                rows.append(self._row_of(FailedRecord.decode(row.record), named=named))
            except UnreadableMessage as error:  # RefusedJob among them
                skipped.append({"id": job_id, "error": str(error)})
        await self._context.store.failed_retry([row.id for row in rows], rows)
        self._context.limited = True
        self._context.parked.fire()
        return {"retried": [row.id for row in rows], "skipped": skipped}

    def _row_of(self, record: FailedRecord, *, named: bool) -> NewRow:
        envelope = Envelope.decode(record.envelope)
        again = envelope.evolve(
            id=record.id,
            queue=record.queue,
            stored=True,
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
            queue=record.queue,
            attempt=1,
            deliveries=again.deliveries,
            state="parked",
            run_at=self._context.clock.now(),
            durable=False,
            expires_at=None,
            envelope=again.encode(),
        )

    async def _chosen(self, args: dict[str, Any]) -> list[str]:
        ids = args.get("ids")
        if isinstance(ids, list) and ids:
            return [str(job_id) for job_id in ids]
        if args.get("all"):
            return await self._context.store.failed_ids(args.get("queue"))
        raise ValueError("name ids, or say all")

    async def _failed_forget(self, args: dict[str, Any]) -> object:
        forgotten = await self._context.store.failed_forget(await self._chosen(args))
        await self._context.results.look()  # what waited behind them in a chain went, too
        return {"forgotten": forgotten}

    async def _failed_flush(self, args: dict[str, Any]) -> object:
        return {"forgotten": await self._context.store.failed_flush(args.get("queue"))}


_OF_JOBS = frozenset({"cancel", "status", "result", "queue.purge", "batch.show", "batch.cancel"})
"""Methods whose answer depends on jobs that may have come a moment ago. Others do not wait for
them: a scheduler whose disk is full still tells how it is."""


def _check_refused(guard: Guard, envelope: Envelope, now: float) -> None:
    try:
        guard.admit(envelope, now)
    except RefusedJob as error:
        raise RefusedJob(
            f"{error}; if it is to run: look at it (failed show), and name it (failed retry <id>)"
        ) from None


_SHOWN = ("id", "queue", "job", "reason", "error", "attempts", "worker", "failed_at", "envelope")
