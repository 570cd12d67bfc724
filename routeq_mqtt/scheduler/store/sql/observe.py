"""Statements of what operators look at, named."""

from __future__ import annotations

from routeq_mqtt.scheduler.store.schema.batches import SHOWN
from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS

_JOB = "id, queue, state, attempt, run_at, done_at, expires_at, outcome, batch, chain, step"


def _page(where: str, *key: str, backwards: bool = False) -> str:
    """A page in the order of an index, from a key on, which is compared as a whole.

    The last columns are the key.
    """
    marks = ", ".join("?" * len(key))
    order = ", ".join(f"{name} DESC" if backwards else name for name in key)
    names, sign = ", ".join(key), "<" if backwards else ">"
    return (
        f"SELECT {_ROW}, {names} FROM jobs WHERE {where} AND ({names}) {sign} ({marks}) "
        f"ORDER BY {order} LIMIT ?"
    )


_ROW = f"{_JOB}, envelope"
_LANE = "coalesce(lane, '')"

JOBS = {
    "delayed": _page("state = 'delayed'", "run_at", "seq"),
    "parked": _page("state = 'parked'", "queue", "seq"),
    "released": _page("state = 'released'", "queue", "id"),
    "held": _page("state = 'held'", "queue", "seq"),
}
"""For each state: all queues."""

JOBS_OF = {
    "delayed": _page("state = 'delayed' AND queue = ?", "run_at", "seq"),
    "parked": _page("state = 'parked' AND queue = ?", "seq"),
    "released": _page("state = 'released' AND queue = ?", "id"),
    "held": _page("state = 'held' AND queue = ?", "seq"),
}
"""The same, of one queue."""

# SQLite compares no key as a whole that has an expression in it: the rest of a lane, then of a
# queue, then of all queues.
_LIMITED = f"SELECT {_ROW}, queue, {_LANE}, seq FROM jobs WHERE state = 'limited'"
LIMITED = (
    f"{_LIMITED} AND queue = ? AND {_LANE} = ? AND seq > ? ORDER BY seq LIMIT ?",
    f"{_LIMITED} AND queue = ? AND {_LANE} > ? ORDER BY {_LANE}, seq LIMIT ?",
    f"{_LIMITED} AND queue > ? ORDER BY queue, {_LANE}, seq LIMIT ?",
)

# There is no order of all that are over: those that are remembered for longer are read apart.
DONE = _page("state = 'done' AND durable = ?", "done_at", "id", backwards=True)
_FAILED = "id, queue, job, reason, error, worker, failed_at, record"
FAILED = f"""
SELECT {_FAILED}, exception, failed_at, id FROM failed
WHERE failed_at <= ?1 AND (failed_at < ?1 OR id > ?2) ORDER BY failed_at DESC, id LIMIT ?3
"""
FAILED_OF = f"""
SELECT {_FAILED}, exception, failed_at, id FROM failed
WHERE queue = ?4 AND failed_at <= ?1 AND (failed_at < ?1 OR id > ?2)
ORDER BY failed_at DESC, id LIMIT ?3
"""
FAILED_GROUP = f"""
SELECT {_FAILED}, exception, failed_at, id FROM failed
WHERE queue = ?4 AND coalesce(job, '') = ?5 AND reason = ?6 AND exception = ?7
    AND failed_at <= ?1 AND (failed_at < ?1 OR id > ?2)
ORDER BY failed_at DESC, id LIMIT ?3
"""
"""Of one group, in the order of its index."""

ONE = f"SELECT {_ROW} FROM jobs WHERE id = ?"
LOCKS_OF = "SELECT class, place, key FROM locks WHERE job = ? LIMIT 100"
STEP_BEFORE = """
SELECT id, state FROM jobs WHERE chain = ? AND chain IS NOT NULL AND step < ? AND state <> 'done'
ORDER BY step DESC LIMIT 1
"""
LANE_OF = "SELECT lane FROM jobs WHERE id = ?"
FAILED_ONE = f"SELECT {_FAILED} FROM failed WHERE id = ?"

_GROUPS = """
(?1 IS NULL OR queue = ?1) AND (?2 IS NULL OR job = ?2)
    AND (?3 IS NULL OR reason = ?3) AND (?4 IS NULL OR exception = ?4)
"""
GROUPS_SUM = f"SELECT coalesce(sum(n), 0) FROM failed_groups WHERE {_GROUPS}"
GROUP_NAMES = f"""
SELECT queue, job, reason, exception FROM failed_groups WHERE {_GROUPS}
ORDER BY queue, job, reason, exception
"""
GROUPS_OF = f"""
SELECT queue, job, reason, exception, n, first_at, last_at, last_id FROM failed_groups
WHERE {_GROUPS} ORDER BY n DESC LIMIT ?5
"""
GROUP_PAGE = f"""
SELECT {_FAILED} FROM failed
WHERE queue = ? AND coalesce(job, '') = ? AND reason = ? AND exception = ?
    AND (failed_at, id) > (?, ?) AND failed_at <= ? ORDER BY failed_at, id LIMIT ?
"""

RUN_NOW = """
UPDATE jobs SET state = 'parked', run_at = ?, era = NULL WHERE id = ? AND state = 'delayed'
"""
# The state is set, too: the new queue may have a limit. The time changes a little, so that a row
# that was read to be released is seen to have changed.
MOVE = """
UPDATE jobs SET queue = ?, envelope = ?, state = state, run_at = run_at + 1e-6 WHERE id = ?
"""
MOVABLE = "SELECT queue, state, special, lane IS NOT NULL, envelope FROM jobs WHERE id = ?"
STATE_OF = "SELECT state FROM jobs WHERE id = ?"

OLDEST_PARKED = """
SELECT run_at FROM jobs WHERE state = 'parked' AND queue = ? ORDER BY seq LIMIT 1
"""
OLDEST_LIMITED = """
SELECT run_at FROM jobs WHERE state = 'limited' AND queue = ?
ORDER BY coalesce(lane, ''), seq LIMIT 1
"""
OLDEST_RELEASED = """
SELECT id, run_at FROM jobs WHERE state = 'released' AND queue = ? ORDER BY id LIMIT 100
"""

ANNOUNCED = "SELECT value FROM meta WHERE key = 'homeassistant'"
SET_ANNOUNCED = "INSERT OR REPLACE INTO meta VALUES ('homeassistant', ?)"
DEVICE_NAMES = "SELECT name FROM devices ORDER BY name"

ROWS_BY_STATE = "SELECT state, sum(n) FROM counts WHERE n > 0 GROUP BY state"
LAST_TICKS = "SELECT name, last_at FROM schedules WHERE last_at IS NOT NULL ORDER BY name LIMIT ?"

ADD_BULK = """
INSERT INTO bulk (id, action, state, filter, rate, until, total, started_at, by)
VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?)
"""
_BULK = """
id, action, state, filter, cursor, rate, until, total, done, skipped, error, started_at, ended_at,
by
"""
BULKS = f"SELECT {_BULK} FROM bulk ORDER BY started_at DESC LIMIT 200"
BULKS_RUNNING = f"SELECT {_BULK} FROM bulk WHERE state = 'running' ORDER BY started_at"
BULK = f"SELECT {_BULK} FROM bulk WHERE id = ?"
BULK_ON = """
UPDATE bulk SET cursor = ?, done = done + ?, skipped = skipped + ?,
    error = CASE WHEN ? = '' THEN error ELSE ? END WHERE id = ?
"""
BULK_OVER = "UPDATE bulk SET state = ?, ended_at = ? WHERE id = ? AND state = 'running'"
OLD_BULKS = """
DELETE FROM bulk WHERE state <> 'running' AND id NOT IN (
    SELECT id FROM bulk WHERE state <> 'running' ORDER BY started_at DESC LIMIT 100
)
"""

STAT = "SELECT tally FROM stats WHERE step = ? AND at = ? AND queue = ? AND job = ?"
SET_STAT = "INSERT OR REPLACE INTO stats (step, at, queue, job, tally) VALUES (?, ?, ?, ?, ?)"
TOTAL = "SELECT tally FROM stats_totals WHERE queue = ? AND job = ?"
TOTALS = "SELECT queue, job, tally FROM stats_totals"
SET_TOTAL = "INSERT OR REPLACE INTO stats_totals (queue, job, tally) VALUES (?, ?, ?)"
OLD_STATS = "DELETE FROM stats WHERE step = ? AND at < ?"
STATS = """
SELECT at, queue, job, tally FROM stats WHERE step = ? AND at >= ? AND at < ? ORDER BY at
"""
WORKERS = "SELECT worker, stats FROM stats_workers"
SET_WORKER = "INSERT OR REPLACE INTO stats_workers (worker, at, stats) VALUES (?, ?, ?)"
OLD_WORKERS = "DELETE FROM stats_workers WHERE at < ?"
HERE = "SELECT queue, job, reason, n FROM stats_here"
FORGET_HERE = "DELETE FROM stats_here"

BATCHES_PAGE = f"SELECT {', '.join(SHOWN)} FROM batches WHERE id < ? ORDER BY id DESC LIMIT ?"
ROLLOUT = (
    "id", "name", "created_at", "total", "pending", "failed", "cancelled", "called_off",
    "finished_at", "aborted_at", "every", "next_at",
)  # fmt: skip
ROLLOUTS_PAGE = """
SELECT b.id, b.name, b.created_at, b.total, b.pending, b.failed, b.cancelled, b.called_off,
    b.finished_at, r.aborted_at, r.every, r.next_at
FROM rollouts r JOIN batches b ON b.id = r.id WHERE r.id < ? ORDER BY r.id DESC LIMIT ?
"""
# What a batch calls at its end is a chain, too, and is shown with the batch.
NEXT_CHAIN = f"""
SELECT min(chain) FROM jobs WHERE chain IS NOT NULL AND chain > ?
    AND substr(chain, 1, {len(CALLBACKS)}) <> '{CALLBACKS}'
"""
CHAIN_STEPS = """
SELECT id, queue, state FROM jobs WHERE chain = ? AND chain IS NOT NULL ORDER BY step LIMIT ?
"""
LIMITS_PAGE = "SELECT name, most, seconds, used FROM gauges WHERE name > ? ORDER BY name LIMIT ?"
LOCKS_PAGE = """
SELECT class, place, key, job, until FROM locks WHERE (class, place, key) > (?, ?, ?)
ORDER BY class, place, key LIMIT ?
"""

AUDIT = "INSERT INTO audit (at, by, how, what, args, outcome) VALUES (?, ?, ?, ?, ?, ?)"
AUDIT_PAGE = """
SELECT number, at, by, how, what, args, outcome FROM audit WHERE number < ?
ORDER BY number DESC LIMIT ?
"""
OLD_AUDIT = """
DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?1 OR (
    number < (SELECT number FROM audit WHERE at >= ?2 ORDER BY number LIMIT 1)
)
"""
