"""Every statement of the store, named."""

from __future__ import annotations

from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS

# Durable writes (a commit is an fsync) beside readers that do not block.
# A trigger's own change fires triggers, too.
OPEN = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA recursive_triggers = ON",
)
_PAGE = 4096


def log_of(limit: int) -> tuple[str, str]:
    """Bounds the log, in bytes: a commit writes it back where `CHECKPOINT` cannot keep up."""
    return (
        f"PRAGMA wal_autocheckpoint = {limit // _PAGE}",
        f"PRAGMA journal_size_limit = {limit}",
    )


CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"

COLUMNS = (
    "id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, "
    "lane IS NOT NULL OR EXISTS (SELECT 1 FROM gauges WHERE name = 'queue ' || queue)"
)

_COLUMNS_IN = (
    "id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, origin, "
    "marked"
)

OWNERS = """
SELECT id, queue, origin, marked FROM jobs WHERE id IN (SELECT value FROM json_each(?))
"""

# What producers send adds a row, and changes none.
ADD = f"""
INSERT INTO jobs ({_COLUMNS_IN}, era)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE, ?) ON CONFLICT (id) DO NOTHING
"""

# From a worker. A row that is done, or has this delivery of this attempt already, drops the
# newcomer. Deliveries only ever grow, while a retry by hand begins with attempt 1: fewer of them
# are of an earlier life.
TAKE = f"""
INSERT INTO jobs ({_COLUMNS_IN}, era)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE, ?)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, deliveries = excluded.deliveries, state = excluded.state,
    run_at = excluded.run_at, expires_at = excluded.expires_at, envelope = excluded.envelope,
    era = excluded.era, marked = TRUE
WHERE jobs.state <> 'done'
    AND (excluded.attempt, excluded.deliveries) > (jobs.attempt, jobs.deliveries)
    AND excluded.deliveries >= jobs.deliveries
"""

# From a dead worker's session: only what that worker held of ours comes back, and once. An attempt
# that it had handed over before it died is none of those, although it is charged for the last one.
RESTORE = f"""
INSERT INTO jobs ({_COLUMNS_IN})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, deliveries = excluded.deliveries, state = excluded.state,
    run_at = excluded.run_at, envelope = excluded.envelope, marked = TRUE
WHERE jobs.state = 'released'
    AND (excluded.attempt - ?, excluded.deliveries) > (jobs.attempt, jobs.deliveries)
    AND excluded.deliveries > jobs.deliveries
"""

# By hand, from a failed record: whatever the row was.
REPLACE = f"""
INSERT INTO jobs ({_COLUMNS_IN})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE)
ON CONFLICT (id) DO UPDATE SET
    queue = excluded.queue, attempt = excluded.attempt, deliveries = excluded.deliveries,
    state = excluded.state, run_at = excluded.run_at, seq = excluded.seq, done_at = NULL,
    outcome = NULL,
    expires_at = excluded.expires_at, envelope = excluded.envelope, origin = excluded.origin,
    marked = TRUE
"""

# What came past the scheduler says nothing of a row, nor of what a row returned.
KEEP_RESULT = """
INSERT INTO results (id, attempt, value, expires_at, proven)
SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?5 OR NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND marked)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, value = excluded.value, expires_at = excluded.expires_at,
    proven = excluded.proven
WHERE excluded.proven > results.proven
    OR (excluded.proven = results.proven AND excluded.attempt >= results.attempt)
"""
RESULT = "SELECT attempt, value, expires_at > ? FROM results WHERE id = ?"
# What is left of a result when its time is over tells that the job has ended.
EMPTY_RESULTS = "UPDATE results SET value = x'' WHERE expires_at <= ? AND value <> x''"
OLD_RESULTS = """
SELECT max(
    coalesce((SELECT max(expires_at) FROM results WHERE expires_at <= ?), 0),
    coalesce((
        SELECT expires_at FROM results WHERE expires_at <= ?
        ORDER BY expires_at DESC LIMIT 1 OFFSET ?
    ), 0)
)
"""
PURGE_RESULTS = "DELETE FROM results WHERE expires_at <= ?"
RESULTS_GONE = "SELECT value FROM meta WHERE key = 'results_gone'"
SET_RESULTS_GONE = "INSERT OR REPLACE INTO meta VALUES ('results_gone', ?)"
ENDED_OF = "SELECT id FROM jobs WHERE state = 'done' AND id IN (SELECT value FROM json_each(?))"
# Each part reads the primary key from the prefix on, and no further than the prefix goes.
FIND = """
SELECT id FROM (SELECT id FROM jobs WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)
UNION SELECT id FROM (SELECT id FROM results WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)
UNION SELECT id FROM (SELECT id FROM failed WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)
ORDER BY id LIMIT ?3
"""
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
ROW_STATE = "SELECT state, attempt, outcome FROM jobs WHERE id = ?"

TOKENS = "SELECT value FROM meta WHERE key = 'secret'"
READ_SEQ = "SELECT value FROM meta WHERE key = 'seq'"
WRITE_SEQ = "UPDATE meta SET value = ? WHERE key = 'seq'"

GIVE_ID = """
INSERT OR REPLACE INTO given_ids (session, number, packet_id, digest, id) VALUES (?, ?, ?, ?, ?)
"""
GIVEN_OVER = "DELETE FROM given_ids WHERE session = ? AND number = ?"
GIVEN_IDS = """
SELECT session, number, packet_id, digest, id FROM given_ids WHERE session = ? ORDER BY number
"""
FORGET_GIVEN = "DELETE FROM given_ids WHERE session = ?"

DUE = f"""
SELECT {COLUMNS} FROM jobs WHERE state = 'delayed' AND run_at <= ? ORDER BY run_at, seq LIMIT ?
"""
NEXT_DUE = "SELECT run_at FROM jobs WHERE state = 'delayed' ORDER BY run_at, seq LIMIT 1"
PARKED = f"""
SELECT {COLUMNS} FROM jobs WHERE state = 'parked' AND queue = ? AND seq > ? ORDER BY seq LIMIT ?
"""
PARKED_QUEUES = "SELECT queue FROM counts WHERE state = 'parked' AND n > 0 ORDER BY queue"
# The first condition is that of the index. A chain's later steps wait for their chain.
EXPIRED = f"""
SELECT {COLUMNS} FROM jobs
WHERE expires_at IS NOT NULL AND state <> 'done' AND expires_at <= ?
    AND (state IN ('delayed', 'parked', 'limited') OR (state = 'held' AND chain IS NULL))
ORDER BY expires_at LIMIT ?
"""
NEXT_EXPIRY = """
SELECT
    (SELECT min(expires_at) FROM jobs
        WHERE expires_at IS NOT NULL AND state <> 'done' AND expires_at > ?),
    EXISTS (SELECT 1 FROM jobs WHERE expires_at IS NOT NULL AND state <> 'done')
"""
RELEASED = "SELECT id, attempt, deliveries FROM jobs WHERE state = 'released'"
RELEASED_OF = RELEASED + " AND queue = ?"
UNMARKED_RELEASED = "SELECT id FROM jobs WHERE state = 'released' AND NOT marked"
GET = f"SELECT {COLUMNS} FROM jobs WHERE id = ?"
RELEASED_COUNTS = """
SELECT queue, state, n FROM counts WHERE n > 0 AND state IN ('released', 'limited')
"""
COUNTS = "SELECT queue, state, n FROM counts WHERE n > 0 AND state <> 'done'"

RELEASE = """
UPDATE jobs SET state = 'released' WHERE id = ? AND run_at = ? AND state IN ('parked', 'delayed')
"""
IS_RELEASED = """
SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ? AND run_at = ? AND state = 'released')
"""
PARK = "UPDATE jobs SET state = 'parked' WHERE id = ? AND state IN ('released', 'delayed')"
PARK_MISSING = """
UPDATE jobs SET state = 'parked'
WHERE id = ? AND state = 'released' AND attempt = ? AND deliveries = ?
"""
DONE = """
UPDATE jobs SET state = 'done', done_at = ?, envelope = x''
WHERE id = ? AND state <> 'done' AND attempt <= ? AND (? OR NOT marked)
"""
FORGET = "DELETE FROM jobs WHERE id = ?"
TOMBSTONE = """
UPDATE jobs SET state = 'done', done_at = ?, envelope = x''
WHERE id = ? AND state <> 'done'
    AND attempt <= coalesce(?, attempt) AND deliveries <= coalesce(?, deliveries)
"""
PURGE = """
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE state = 'done' AND durable = ? AND done_at < ?
    AND NOT (special AND EXISTS (SELECT 1 FROM failed WHERE failed.id = jobs.id)) LIMIT ?
)
"""

# As with DONE: a worker that was given up may still tell of an attempt that is superseded.
# Not INSERT OR REPLACE: that deletes, and what hangs on a forgotten record would happen.
FAIL = """
INSERT INTO failed (
    id, queue, job, reason, error, worker, failed_at, record, content, origin, exception
)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?11, ?12, ?13 WHERE NOT EXISTS (
    SELECT 1 FROM jobs WHERE id = ?1 AND (
        state = 'done' OR attempt > coalesce(?9, attempt) OR deliveries > coalesce(?10, deliveries)
    )
)
ON CONFLICT (id) DO UPDATE SET
    job = excluded.job, reason = excluded.reason, error = excluded.error,
    worker = excluded.worker, failed_at = excluded.failed_at, record = excluded.record,
    content = excluded.content, origin = excluded.origin, exception = excluded.exception
"""
SUMMARY = "id, queue, job, reason, error, worker, failed_at"
_FAILED_PAGE = """
failed_at <= ?2 AND (failed_at < ?2 OR id > ?3) AND (?4 IS NULL OR job = ?4)
ORDER BY failed_at DESC, id LIMIT ?1
"""
FAILED_LIST = f"SELECT {SUMMARY} FROM failed WHERE ?5 IS NULL AND {_FAILED_PAGE}"
FAILED_LIST_OF = f"SELECT {SUMMARY} FROM failed WHERE queue = ?5 AND {_FAILED_PAGE}"
FAILED_GET = f"SELECT {SUMMARY}, record, origin FROM failed WHERE id = ?"
FAILED_CONTENT = "SELECT queue, content, record FROM failed WHERE id = ?"
FAILED_IDS = "SELECT id FROM failed ORDER BY failed_at, id"
FAILED_IDS_OF = "SELECT id FROM failed WHERE queue = ? ORDER BY failed_at, id"
FAILED_CONTENTS = """
SELECT id, content FROM failed WHERE id IN (SELECT value FROM json_each(?))
"""
FAILED_RENAME = "UPDATE failed SET id = ?, record = ? WHERE id = ?"
FAILED_FORGET = "DELETE FROM failed WHERE id = ?"
FAILED_FLUSH = "DELETE FROM failed"
FAILED_FLUSH_OF = "DELETE FROM failed WHERE queue = ?"

ORDERS = "SELECT kind, name, at FROM orders"
ORDER = "INSERT INTO orders (kind, name, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
WITHDRAW = "DELETE FROM orders WHERE kind = ? AND name = ?"
# An order to cancel has done its work when the row that it is for is over.
OBEYED = """
DELETE FROM orders WHERE kind = 'cancel' AND name = ?1
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND state <> 'done')
"""
ORDERS_LEFT = """
SELECT name FROM orders WHERE kind = 'cancel' AND name IN (SELECT value FROM json_each(?))
"""
WHEREABOUTS = """
SELECT coalesce(
    (SELECT state FROM jobs WHERE id = ?1), (SELECT 'done' FROM failed WHERE id = ?1),
    (SELECT 'done' FROM results WHERE id = ?1), 'unknown'
)
"""
# A job that never had a row leaves its tombstone, too: for those who wait for its outcome.
CANCELLED = """
INSERT INTO jobs (
    id, queue, attempt, deliveries, state, run_at, seq, durable, done_at, outcome, envelope
) VALUES (?2, '', ?3, 1, 'done', ?1, 0, 0, ?1, 'cancelled', x'')
ON CONFLICT (id) DO UPDATE SET
    state = 'done', outcome = 'cancelled', done_at = excluded.done_at, envelope = x''
WHERE jobs.state <> 'done' AND jobs.attempt <= excluded.attempt AND (?4 OR NOT jobs.marked)
"""
# The callbacks of a batch do not wait in a queue before their batch sets them free.
PURGE_QUEUE = f"""
UPDATE jobs SET state = 'done', outcome = 'cancelled', done_at = ?, envelope = x''
WHERE queue = ? AND state NOT IN ('released', 'done')
    AND NOT (state = 'held' AND chain IS NOT NULL
        AND substr(chain, 1, {len(CALLBACKS)}) = '{CALLBACKS}')
"""
OLD_CANCELS = """
SELECT name FROM orders WHERE kind = 'cancel' AND (
    at < ? OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = orders.name AND jobs.state = 'done')
)
"""

TRIGGERS = "SELECT pattern, job, queue, with_topic, payload, maps FROM triggers"
ADD_TRIGGER = """
INSERT OR REPLACE INTO triggers (pattern, job, queue, with_topic, payload, maps)
VALUES (?, ?, ?, ?, ?, ?)
"""
FORGET_TRIGGER = "DELETE FROM triggers WHERE pattern = ? AND job = ?"
