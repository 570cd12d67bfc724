"""Statistics over time: one fold is one transaction, and counts nothing twice.

What of each worker's cumulative numbers is in the tables is committed with them. So a scheduler
that dies before the commit finds the same numbers again in the worker's retained message, and one
that dies after it finds nothing new in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.observe.stats import OTHER, Pair, WorkerStats
from routeq_mqtt.wire.observe.tally import Tally, read_tally
from routeq_mqtt.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection

MINUTE, TEN_MINUTES, HOUR = 60, 600, 3_600
KEPT = {MINUTE: 8 * 3_600.0, TEN_MINUTES: 72 * 3_600.0, HOUR: 90 * 86_400.0}
"""For each step in seconds, how long its points are kept."""

MOST_PAIRS = 5_000
"""Pairs of queue and job class on one bus; further classes count as "other"."""

_WORKERS_KEPT = 7 * 86_400.0
"""Seconds for which a worker's numbers are remembered, whatever became of it."""


class Fold(NamedTuple):
    """What one fold commits.

    Attributes:
        at: when the jobs ended, UTC epoch seconds.
        counted: since the last fold.
        workers: of each worker that said something new, its numbers as they are counted now.
    """

    at: float
    counted: Mapping[Pair, Tally]
    workers: Mapping[str, bytes]


def fold(db: SyncConnection, what: Fold) -> dict[Pair, Tally]:
    """Add what was counted to the tables; what this scheduler has decided, and now is counted."""
    here: dict[Pair, Tally] = {}
    for queue, job, reason, number in db.execute(sql.HERE).fetchall():
        tally = here.setdefault((queue, job), Tally())
        tally.outcomes["failed"] += number
        tally.reasons[reason] += number
    db.execute(sql.FORGET_HERE)
    for pair, tally in [*what.counted.items(), *here.items()]:
        _add_to(db, sql.TOTAL, sql.SET_TOTAL, pair, tally)
        for step in KEPT:
            begins = int(what.at // step) * step
            _add_to(db, sql.STAT, sql.SET_STAT, (step, begins, *pair), tally)
    db.executemany(sql.SET_WORKER, [(w, what.at, said) for w, said in what.workers.items()])
    for step, seconds in KEPT.items():
        db.execute(sql.OLD_STATS, (step, what.at - seconds))
    db.execute(sql.OLD_WORKERS, (what.at - _WORKERS_KEPT,))
    return here


def _add_to(db: SyncConnection, read: str, write: str, key: tuple[Any, ...], tally: Tally) -> None:
    found = db.execute(read, key).fetchone()
    whole = Tally() if found is None else _tally(found[0])
    whole.add(tally)
    db.execute(write, (*key, pack(whole.as_map())))


def _tally(column: Any) -> Tally:  # noqa: ANN401 - whatever a column holds
    """What cannot be read (a damaged file, an edited one) counts as nothing."""
    try:
        return read_tally(unpack(column))
    except (UnreadableMessage, TypeError):
        return Tally()


def totals(db: SyncConnection) -> dict[Pair, Tally]:
    """All that was ever counted on this bus."""
    return {(queue, job): _tally(column) for queue, job, column in db.execute(sql.TOTALS)}


def counted_workers(db: SyncConnection) -> dict[str, WorkerStats]:
    """What of each worker's numbers is in the tables."""
    found = {}
    for worker, said in db.execute(sql.WORKERS):
        try:
            found[str(worker)] = WorkerStats.decode(bytes(said))
        except (UnreadableMessage, TypeError):
            continue
    return found


def step_for(seconds: float, age: float) -> int:
    """The finest step whose points reach so far back, and are not too many to be drawn.

    Args:
        seconds: how much time is looked at.
        age: how long ago it began.
    """
    for step, kept in KEPT.items():
        if seconds <= kept and age <= kept + step:
            return step
    return HOUR


def history(
    db: SyncConnection, step: int, since: float, until: float
) -> list[tuple[int, Pair, Tally]]:
    """Points of all pairs in a time, oldest first."""
    begins = int(since // step) * step
    return [
        (at, (queue, job), _tally(column))
        for at, queue, job, column in db.execute(sql.STATS, (step, begins, until))
    ]


def bounded_pair(pair: Pair, known: Mapping[Pair, Tally]) -> Pair:
    """The pair itself; of too many, its queue's "other"."""
    if pair in known or len(known) < MOST_PAIRS:
        return pair
    return pair[0], OTHER
