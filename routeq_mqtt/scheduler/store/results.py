"""Keeps what jobs returned, and tells those who wait for it.

A result is committed with the outcome of its job's row, before the worker acknowledges the job. Who
waits is kept in memory only: a requester that is lost costs nothing, one that outlives a restart of
the scheduler asks again.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.wire.ids import made_at
from routeq_mqtt.wire.messages import requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.presence.fleet import Fleet
    from routeq_mqtt.scheduler.store.database import Database
    from routeq_mqtt.wire.envelopes.result import JobResult

Answer = dict[str, Any]

_LONGEST_WAIT = 60.0
_STATES = {"released": "waiting"}
_OPEN = frozenset({"delayed", "parked", "held", "limited", "waiting", "unknown"})
"""States of jobs that have not ended, as far as the database knows."""


_ENDED_KEPT = 7 * 86_400.0
"""Seconds for which it is known that a job with a result has ended, beyond its `result_ttl`."""

_ENDED_AT_MOST = 100_000
"""How many such jobs are known at most; about 100 bytes each."""


_FOUND_AT_MOST = 20


def _end_of(prefix: str) -> str:
    """A text behind all those that begin with `prefix`, in the order of code points."""
    return prefix + chr(0x10FFFF)


def _is_open(answer: Answer) -> bool:
    return answer["state"] in _OPEN and not answer.get("gone")


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
        self.methods: requests.Methods = {
            requests.Result: self._result,
            requests.Status: self._status,
            requests.Find: self._find,
        }

    async def keep(self, results: Sequence[tuple[JobResult, bool]]) -> None:
        """Commit results; a row of the job is done with them.

        Args:
            results: each with whether it bears the token of its row.
        """
        now = self._clock.now()
        async with self._db.transaction() as work:
            await work.many(
                sql.KEEP_RESULT,
                [(r.id, r.attempt, r.value, now + r.ttl, proven) for r, proven in results],
            )
            await work.many(sql.DONE, [(now, r.id, r.attempt, proven) for r, proven in results])

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
        """Forget results whose time is over, and much later that there were any."""
        await self._db.write(sql.EMPTY_RESULTS, [(now,)])
        [[old]] = await self._db.read(sql.OLD_RESULTS, (now - _ENDED_KEPT, now, _ENDED_AT_MOST))
        if old:
            async with self._db.transaction() as work:
                await work.run(sql.PURGE_RESULTS, (old,))
                await work.run(sql.SET_RESULTS_GONE, (old,))

    # -- requests ------------------------------------------------------------------------------

    async def _result(self, asked: requests.Result) -> Answer:
        """The outcome of a job; waits for it, `wait` seconds at most."""
        job_id, wait = asked.id, min(asked.wait, _LONGEST_WAIT)
        # Listening begins before looking: an outcome that comes in between is not missed.
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(news)
        try:
            answer = await self._look(job_id)
            if _is_open(answer) and wait > 0:
                await asyncio.wait({news}, timeout=wait)
                answer = await self._look(job_id)
        finally:
            self._stop_waiting(job_id, news)
        return {"state": "pending"} if _is_open(answer) else answer

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
        kept = await self._db.read(sql.RESULT, (self._clock.now(), job_id))
        if kept:
            attempt, value, is_kept = kept[0]
            said: Answer = {"value": bytes(value)} if is_kept else {}
            return {"state": "done", "attempt": attempt, **said}
        failed = await self._db.read(sql.FAILED_GET, (job_id,))
        if failed:
            job, reason, error = failed[0][2:5]
            return {"state": "failed", "job": job, "reason": reason, "error": error}
        if not rows:
            return {"state": "unknown", "gone": await self._is_gone(job_id)}
        state, attempt, outcome = rows[0]
        if state == "done" and outcome is not None:
            why = {} if outcome == "cancelled" else {"reason": outcome}
            return {"state": "cancelled", "attempt": attempt, **why}
        return {"state": _STATES.get(state, state), "attempt": attempt}

    async def _is_gone(self, job_id: str) -> bool:
        """Whether an unknown job is so old that nothing can be left of it."""
        made = made_at(job_id)
        if made is None or self._running(job_id) is not None:
            return False
        gone = await self._db.read(sql.RESULTS_GONE)
        until = self._clock.now() - _ENDED_KEPT
        return made <= max(until, float(gone[0][0]) if gone else until)

    async def _status(self, asked: requests.Status) -> Answer:
        """Where a job is, as far as the bus can see."""
        job_id = asked.id
        known = await self._look(job_id)
        if known["state"] in _OPEN:
            return self._running(job_id) or {k: v for k, v in known.items() if k != "gone"}
        known.pop("value", None)
        return known

    async def _find(self, asked: requests.Find) -> list[str]:
        """Ids that begin with a text, of jobs that are known or run now."""
        prefix = asked.prefix
        found = await self._db.read(sql.FIND, (prefix, _end_of(prefix), _FOUND_AT_MOST))
        running = (
            job_id
            for member in self._fleet.members.values()
            for job_id in member.load.running
            if job_id.startswith(prefix)
        )
        return sorted({*(str(row[0]) for row in found), *running})[:_FOUND_AT_MOST]

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
