"""Keeps what jobs returned, and tells those who wait for it.

A result is committed with the outcome of its job's row, before the worker acknowledges the job. Who
waits is kept in memory only: a requester that is lost costs nothing, one that outlives a restart of
the scheduler asks again.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.fleet import Fleet
    from routeq_mqtt.scheduler.database import Database
    from routeq_mqtt.wire.result import JobResult

Answer = dict[str, Any]

_LONGEST_WAIT = 60.0
_STATES = {"released": "waiting"}
_OPEN = frozenset({"delayed", "parked", "held", "limited", "waiting", "unknown"})
"""States of jobs that have not ended, as far as the database knows."""


class Results:
    """Results, and the state of any job.

    Args:
        database: where results are kept.
        fleet: what the workers run.
        clock: when a result is too old.
    """

    def __init__(self, database: Database, fleet: Fleet, clock: Clock) -> None:
        self._db = database
        self._fleet = fleet
        self._clock = clock
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.methods: dict[str, Callable[[dict[str, Any]], Awaitable[object]]] = {
            "result": self._result,
            "status": self._status,
        }

    async def keep(self, results: Sequence[JobResult]) -> None:
        """Commit results; a row of the job is done with them."""
        now = self._clock.now()
        async with self._db.transaction() as work:
            await work.many(
                sql.KEEP_RESULT, [(r.id, r.attempt, r.value, now + r.ttl) for r in results]
            )
            await work.many(sql.DONE, [(now, r.id, r.attempt) for r in results])

    def ended(self, ids: Iterable[str]) -> None:
        """These jobs have ended in one way or another: tell those who wait."""
        if not self._waiting:
            return
        for job_id in ids:
            for future in self._waiting.pop(job_id, ()):
                if not future.done():
                    future.set_result(None)

    async def look(self) -> None:
        """Tell those whose jobs ended with others: with their chain, their batch, their queue."""
        if self._waiting:
            ids = json.dumps(list(self._waiting))
            self.ended([str(row[0]) for row in await self._db.read(sql.ENDED_OF, (ids,))])

    async def purge(self, now: float) -> None:
        """Forget results whose time is over."""
        await self._db.write(sql.PURGE_RESULTS, [(now,)])

    # -- requests ------------------------------------------------------------------------------

    async def _result(self, args: dict[str, Any]) -> Answer:
        """The outcome of a job; waits for it, `wait` seconds at most."""
        job_id = str(args["id"])
        wait = min(float(args.get("wait", 0.0)), _LONGEST_WAIT)
        # Listening begins before looking: an outcome that comes in between is not missed.
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(news)
        try:
            answer = await self._look(job_id)
            if answer["state"] in _OPEN and wait > 0:
                await asyncio.wait({news}, timeout=wait)
                answer = await self._look(job_id)
        finally:
            self._stop_waiting(job_id, news)
        return {"state": "pending"} if answer["state"] in _OPEN else answer

    def _stop_waiting(self, job_id: str, news: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(job_id)
        if waiting is not None:
            waiting.discard(news)
            if not waiting:
                del self._waiting[job_id]

    async def _look(self, job_id: str) -> Answer:
        """What the database knows of a job."""
        # First the row: what it left is committed with its end, or before.
        rows = await self._db.read(sql.ROW_STATE, (job_id,))
        kept = await self._db.read(sql.RESULT, (job_id, self._clock.now()))
        if kept:
            return {"state": "done", "attempt": kept[0][0], "value": bytes(kept[0][1])}
        failed = await self._db.read(sql.FAILED_GET, (job_id,))
        if failed:
            job, reason, error = failed[0][2:5]
            return {"state": "failed", "job": job, "reason": reason, "error": error}
        if not rows:
            return {"state": "unknown"}
        state, attempt, outcome = rows[0]
        if state == "done" and outcome is not None:
            why = {} if outcome == "cancelled" else {"reason": outcome}
            return {"state": "cancelled", "attempt": attempt, **why}
        return {"state": _STATES.get(state, state), "attempt": attempt}

    async def _status(self, args: dict[str, Any]) -> Answer:
        """Where a job is, as far as the bus can see."""
        job_id = str(args["id"])
        known = await self._look(job_id)
        if known["state"] in _OPEN:
            return self._running(job_id) or known
        known.pop("value", None)
        return known

    def _running(self, job_id: str) -> Answer | None:
        for worker, member in self._fleet.members.items():
            attempt = member.load.running.get(job_id)
            if attempt is not None:
                progress = member.load.progress.get(job_id)
                return {
                    "state": "running",
                    "attempt": attempt,
                    "worker": worker,
                    "progress": progress,
                }
        return None
