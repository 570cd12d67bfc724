"""Answers what operators ask about jobs, failures and the audit log; changes single jobs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.observe import changes, failures, lists, pages, show
from routeq_mqtt.scheduler.store.observe.failures import FailedFilter
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.answers import JobWhole

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.inquiry import Inquiry
    from routeq_mqtt.scheduler.store.observe.audit import AuditLog
    from routeq_mqtt.wire.messages import requests


class Operator:
    """Pages, single jobs and groups of failures, read beside the scheduler's own transactions.

    Args:
        context: what the roles share.
        audit: the log.
        inquiry: asks workers.
    """

    def __init__(self, context: Context, audit: AuditLog, inquiry: Inquiry) -> None:
        self._context = context
        self._inquiry = inquiry
        self._audit = audit
        self.methods: requests.Methods = {
            asks.JobsList: self._list,
            asks.JobsShow: self._show,
            asks.JobsRun: self._run,
            asks.JobsMove: self._move,
            asks.FailedGroups: self._groups,
            asks.FailedCounted: self._count,
            asks.AuditList: self._lines,
            asks.BatchList: self._batches,
            asks.ChainList: self._chains,
            asks.RolloutList: self._rollouts,
            asks.LimitList: self._limits,
            asks.LockList: self._locks,
        }

    async def _list(self, asked: asks.JobsList) -> object:
        page = await self._context.store.database.look(lambda db: pages.page(db, asked))
        return asdict(page)

    async def _show(self, asked: asks.JobsShow) -> object:
        database = self._context.store.database
        whole = await database.look(lambda db: show.whole(db, asked.id))
        running = self._running(asked.id)
        if whole is None:
            held = await self._inquiry.find(asked.id, None if running is None else running[0])
            whole = None if held is None else show.held(held)
        if whole is None and running is None:
            raise LookupError(
                f"the scheduler knows no job {asked.id!r}: it never passed through the scheduler, "
                "or is over and forgotten"
            )
        if running is None or (whole is not None and whole.state == "waiting"):
            return asdict(whole) if whole is not None else None
        worker, attempt, queue, progress = running
        known = whole or JobWhole(id=asked.id, queue=queue, state="running", attempt=attempt)
        if known.state not in {"released", "running"}:
            return asdict(known)  # it ended since the worker reported what it runs
        now = {"attempt": attempt, "worker": worker}
        return asdict(
            replace(
                known,
                state="running",
                attempt=attempt,
                worker=worker,
                progress=progress,
                history=[*known.history, now],
            )
        )

    def _running(self, job_id: str) -> tuple[str, int, str, list[Any] | None] | None:
        """Worker, attempt, the queue where there is only one that it can be of, and progress."""
        for worker, member in self._context.fleet.members.items():
            attempt = member.load.running.get(job_id)
            if attempt is not None:
                active = list(member.load.active)
                queue = active[0] if len(active) == 1 else ""
                return worker, attempt, queue, member.load.progress.get(job_id)
        return None

    async def _run(self, asked: asks.JobsRun) -> object:
        context = self._context
        changed, skipped = await changes.run_now(
            context.store.database, asked.ids, context.clock.now()
        )
        return self._changed(changed, skipped)

    async def _move(self, asked: asks.JobsMove) -> object:
        changed, skipped = await changes.move(self._context.store.database, asked.ids, asked.queue)
        return self._changed(changed, skipped)

    def _changed(self, changed: list[str], skipped: list[dict[str, str]]) -> object:
        context = self._context
        context.limited = True  # the queue that they wait in now may have a limit
        context.delayed.notify()
        context.parked.notify()
        return {"changed": changed, "skipped": skipped}

    async def _groups(self, asked: asks.FailedGroups) -> object:
        wanted = FailedFilter(queue=asked.queue, job=asked.job)
        database = self._context.store.database
        found = await database.look(lambda db: failures.groups(db, wanted, asked.limit))
        return [asdict(group) for group in found]

    async def _count(self, asked: asks.FailedCounted) -> object:
        now = self._context.clock.now()
        wanted = FailedFilter(
            queue=asked.queue, job=asked.job, reason=asked.reason, exception=asked.exception,
            text=asked.text, until=now,
        )  # fmt: skip
        number, exact = await self._context.store.database.look(
            lambda db: failures.count(db, wanted)
        )
        return {"count": number, "exact": exact, "until": now}

    async def _batches(self, asked: asks.BatchList) -> object:
        return await self._context.store.database.look(lambda db: lists.batches(db, asked))

    async def _chains(self, asked: asks.ChainList) -> object:
        return await self._context.store.database.look(lambda db: lists.chains(db, asked))

    async def _rollouts(self, asked: asks.RolloutList) -> object:
        return await self._context.store.database.look(lambda db: lists.rollouts(db, asked))

    async def _limits(self, asked: asks.LimitList) -> object:
        return await self._context.store.database.look(lambda db: lists.limits(db, asked))

    async def _locks(self, asked: asks.LockList) -> object:
        return await self._context.store.database.look(lambda db: lists.locks(db, asked))

    async def _lines(self, asked: asks.AuditList) -> object:
        return asdict(await self._audit.page(asked.limit, asked.cursor))
