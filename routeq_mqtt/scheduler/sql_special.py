"""Statements of jobs that need a decision, named."""

from __future__ import annotations

from routeq_mqtt.scheduler.schema_batches import SHOWN

# Of a row that is here: whether this delivery of it is news.
IS_NEWS = """
SELECT state <> 'done' AND (?2, ?3) > (attempt, deliveries) AND ?3 >= deliveries
FROM jobs WHERE id = ?1
"""
TAKE = """
INSERT INTO jobs
    (id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope,
     chain, step, batch, lane, era, special)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, deliveries = excluded.deliveries, state = excluded.state,
    run_at = excluded.run_at, expires_at = excluded.expires_at, envelope = excluded.envelope,
    lane = excluded.lane, era = excluded.era, special = TRUE
"""
# One that a worker had before it was admitted.
TURN_AWAY = """
UPDATE jobs SET state = 'done', outcome = 'turned away', done_at = ?, envelope = x'' WHERE id = ?
"""

HOLDER = "SELECT job FROM locks WHERE key = ? AND until > ?"
LOCK = "INSERT OR REPLACE INTO locks (key, job, until, ends) VALUES (?, ?, ?, ?)"
REPLACE_CONTENT = """
UPDATE jobs SET state = 'delayed', run_at = ?, era = ?, envelope = ?
WHERE id = ? AND attempt = 1 AND state IN ('delayed', 'parked', 'limited')
"""
STARTED = "DELETE FROM locks WHERE job = ? AND ends = 'started'"
LAPSED = "DELETE FROM locks WHERE until <= ?"

BEGIN_BATCH = """
INSERT INTO batches (id, name, created_at, changed_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (id) DO UPDATE SET changed_at = excluded.changed_at WHERE open
"""
IS_OPEN = "SELECT EXISTS (SELECT 1 FROM batches WHERE id = ? AND open)"
START_BATCH = """
UPDATE jobs SET state = 'parked', run_at = ?2 WHERE batch = ?1 AND state = 'held'
"""
CLOSE_BATCH = "UPDATE batches SET open = FALSE WHERE id = ? AND open"
INCOMPLETE = """
SELECT id, name, total, (SELECT queue FROM jobs WHERE batch = batches.id LIMIT 1)
FROM batches WHERE open AND finished_at IS NULL AND changed_at <= ?
"""
BATCH = f"SELECT {', '.join(SHOWN)} FROM batches WHERE id = ?"
# One that is over stays as it is, unless one of its jobs runs again.
CALL_OFF = """
UPDATE batches SET called_off = TRUE WHERE id = ? AND (finished_at IS NULL OR pending > 0)
"""
CANCEL_MEMBERS = """
UPDATE jobs SET state = 'done', outcome = 'with its batch', done_at = ?, envelope = x''
WHERE batch = ? AND state NOT IN ('released', 'done')
"""
RELEASED_MEMBERS = "SELECT id FROM jobs WHERE batch = ? AND state = 'released'"
OLD_BATCHES = "DELETE FROM batches WHERE finished_at < ?"
