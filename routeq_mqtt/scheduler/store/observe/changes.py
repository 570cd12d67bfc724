"""Runs delayed jobs now, and moves jobs to another queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.store.database import Database, Transaction

Changes = tuple[list[str], list[dict[str, str]]]
"""Ids of what was changed; `id` and `error` of what was not."""


async def run_now(database: Database, ids: Sequence[str], now: float) -> Changes:
    """Make delayed jobs due, in one transaction."""
    changed: list[str] = []
    skipped: list[dict[str, str]] = []
    async with database.transaction() as work:
        for job_id in dict.fromkeys(ids):
            if await work.run(sql.RUN_NOW, (now, job_id)):
                changed.append(job_id)
            else:
                state = await _state(work, job_id)
                skipped.append({"id": job_id, "error": f"it is {state}, not delayed"})
    return changed, skipped


async def move(database: Database, ids: Sequence[str], queue: str) -> Changes:
    """Move jobs that wait here to another queue, in one transaction.

    A job of a chain, a batch, a limit or with a unique key stays: its keys count within its queue.
    """
    changed: list[str] = []
    skipped: list[dict[str, str]] = []
    async with database.transaction() as work:
        for job_id in dict.fromkeys(ids):
            error = await _move(work, job_id, queue)
            if error:
                skipped.append({"id": job_id, "error": error})
            else:
                changed.append(job_id)
    return changed, skipped


async def _move(work: Transaction, job_id: str, queue: str) -> str:
    """Why it was not moved; empty: it was."""
    found = await work.read(sql.MOVABLE, (job_id,))
    if not found:
        return "no job here has this id"
    was, state, special, has_limits, payload = found[0]
    if state not in {"delayed", "parked"}:
        return f"it is {state}; only delayed and parked jobs can be moved"
    if special or has_limits:
        return "it has a chain, a batch, a unique key or a limit, which belong to its queue"
    if was == queue:
        return f"it is in queue {queue} already"
    try:
        envelope = Envelope.decode(bytes(payload)).evolve(queue=queue)
    except (UnreadableMessage, TypeError) as error:
        return f"its message cannot be read: {error}"
    await work.run(sql.MOVE, (queue, envelope.encode(), job_id))
    return ""


async def _state(work: Transaction, job_id: str) -> str:
    found = await work.read(sql.STATE_OF, (job_id,))
    return str(found[0][0]) if found else "unknown"
