"""Every statement of the store, named."""

from __future__ import annotations

# Durable writes (a commit is an fsync) beside readers that do not block.
# A trigger's own change fires triggers, too.
OPEN = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA wal_autocheckpoint = 16000",  # 64 MB: only where `CHECKPOINT` cannot keep up
)
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"

COLUMNS = (
    "id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, "
    "lane IS NOT NULL OR queue IN (SELECT queue FROM queue_limits)"
)

# A row that is done, or has this delivery of this attempt already, drops the newcomer. Deliveries
# only ever grow, while a retry by hand begins with attempt 1: fewer of them are of an earlier life.
TAKE = """
INSERT INTO jobs
    (id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, era)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, deliveries = excluded.deliveries, state = excluded.state,
    run_at = excluded.run_at, expires_at = excluded.expires_at, envelope = excluded.envelope,
    era = excluded.era
WHERE jobs.state <> 'done'
    AND (excluded.attempt, excluded.deliveries) > (jobs.attempt, jobs.deliveries)
    AND excluded.deliveries >= jobs.deliveries
"""

# From a dead worker's session: only what that worker held of ours comes back, and once. An attempt
# that it had handed over before it died is none of those, although it is charged for the last one.
RESTORE = """
INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, deliveries = excluded.deliveries, state = excluded.state,
    run_at = excluded.run_at, envelope = excluded.envelope
WHERE jobs.state = 'released'
    AND (excluded.attempt - ?, excluded.deliveries) > (jobs.attempt, jobs.deliveries)
    AND excluded.deliveries > jobs.deliveries
"""

# By hand, from a failed record: whatever the row was.
REPLACE = """
INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    queue = excluded.queue, attempt = excluded.attempt, deliveries = excluded.deliveries,
    state = excluded.state, run_at = excluded.run_at, seq = excluded.seq, done_at = NULL,
    outcome = NULL,
    expires_at = excluded.expires_at, envelope = excluded.envelope
"""

KEEP_RESULT = """
INSERT INTO results (id, attempt, value, expires_at) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, value = excluded.value, expires_at = excluded.expires_at
WHERE excluded.attempt >= results.attempt
"""
RESULT = "SELECT attempt, value FROM results WHERE id = ? AND expires_at > ?"
PURGE_RESULTS = "DELETE FROM results WHERE expires_at <= ?"
ENDED_OF = "SELECT id FROM jobs WHERE state = 'done' AND id IN (SELECT value FROM json_each(?))"
ROW_STATE = "SELECT state, attempt, outcome FROM jobs WHERE id = ?"

READ_SEQ = "SELECT value FROM meta WHERE key = 'seq'"
WRITE_SEQ = "UPDATE meta SET value = ? WHERE key = 'seq'"

TAG = "INSERT OR REPLACE INTO untagged (packet_id, digest, id) VALUES (?, ?, ?)"
UNTAG = "DELETE FROM untagged WHERE packet_id = ?"
TAGGED = "SELECT id FROM untagged WHERE packet_id = ? AND digest = ?"

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
GET = f"SELECT {COLUMNS} FROM jobs WHERE id = ?"
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
WHERE id = ? AND state <> 'done' AND attempt <= ?
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
INSERT INTO failed (id, queue, job, reason, error, worker, failed_at, record)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (
    SELECT 1 FROM jobs WHERE id = ?1 AND (
        state = 'done' OR attempt > coalesce(?9, attempt) OR deliveries > coalesce(?10, deliveries)
    )
)
ON CONFLICT (id) DO UPDATE SET
    job = excluded.job, reason = excluded.reason, error = excluded.error,
    worker = excluded.worker, failed_at = excluded.failed_at, record = excluded.record
"""
SUMMARY = "id, queue, job, reason, error, worker, failed_at"
FAILED_LIST = f"SELECT {SUMMARY} FROM failed ORDER BY failed_at DESC, id LIMIT ?"
FAILED_LIST_OF = f"SELECT {SUMMARY} FROM failed WHERE queue = ? ORDER BY failed_at DESC, id LIMIT ?"
FAILED_GET = f"SELECT {SUMMARY}, record FROM failed WHERE id = ?"
FAILED_IDS = "SELECT id FROM failed ORDER BY failed_at, id"
FAILED_IDS_OF = "SELECT id FROM failed WHERE queue = ? ORDER BY failed_at, id"
FAILED_FORGET = "DELETE FROM failed WHERE id = ?"
FAILED_FLUSH = "DELETE FROM failed"
FAILED_FLUSH_OF = "DELETE FROM failed WHERE queue = ?"

ORDERS = "SELECT kind, name, at FROM orders"
ORDER = "INSERT INTO orders (kind, name, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
WITHDRAW = "DELETE FROM orders WHERE kind = ? AND name = ?"
WHEREABOUTS = """
SELECT coalesce(
    (SELECT state FROM jobs WHERE id = ?1), (SELECT 'done' FROM failed WHERE id = ?1), 'unknown'
)
"""
# A job that never had a row leaves its tombstone, too: for those who wait for its outcome.
CANCELLED = """
INSERT INTO jobs (
    id, queue, attempt, deliveries, state, run_at, seq, durable, done_at, outcome, envelope
) VALUES (?2, '', ?3, 1, 'done', ?1, 0, 0, ?1, 'cancelled', x'')
ON CONFLICT (id) DO UPDATE SET
    state = 'done', outcome = 'cancelled', done_at = excluded.done_at, envelope = x''
WHERE jobs.state <> 'done' AND jobs.attempt <= excluded.attempt
"""
PURGE_QUEUE = """
UPDATE jobs SET state = 'done', outcome = 'cancelled', done_at = ?, envelope = x''
WHERE queue = ? AND state NOT IN ('released', 'done')
"""
OLD_CANCELS = """
SELECT name FROM orders WHERE kind = 'cancel' AND (
    at < ? OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = orders.name AND jobs.state = 'done')
)
"""

TRIGGERS = "SELECT pattern, job, queue, with_topic FROM triggers"
ADD_TRIGGER = "INSERT OR REPLACE INTO triggers VALUES (?, ?, ?, ?)"
FORGET_TRIGGER = "DELETE FROM triggers WHERE pattern = ? AND job = ?"
