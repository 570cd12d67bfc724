"""Statements of jobs that need a decision, named."""

from __future__ import annotations

from routeq_mqtt.scheduler.store.schema.batches import SHOWN
from routeq_mqtt.scheduler.store.schema.identity import IS_OWN

# Of a row that is here: whether this delivery of it is news.
IS_NEWS = """
SELECT state <> 'done' AND (?2, ?3) > (attempt, deliveries) AND ?3 >= deliveries
FROM jobs WHERE id = ?1
"""
TAKE = """
INSERT INTO jobs
    (id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope,
     chain, step, batch, lane, era, origin, marked, special)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE, TRUE)
ON CONFLICT (id) DO UPDATE SET
    attempt = excluded.attempt, deliveries = excluded.deliveries, state = excluded.state,
    run_at = excluded.run_at, expires_at = excluded.expires_at, envelope = excluded.envelope,
    lane = excluded.lane, era = excluded.era, marked = TRUE, special = TRUE
"""
# One that a worker had before it was admitted.
TURN_AWAY = """
UPDATE jobs SET state = 'done', outcome = 'turned away', done_at = ?, envelope = x'' WHERE id = ?
"""

# The second one is of an older version, which had both in one text.
HOLDER = """
SELECT job FROM locks WHERE class = ?1 AND place = ?2 AND key = ?3 AND until > ?4
UNION ALL
SELECT job FROM locks
WHERE class = '' AND place = '' AND key = ?2 || '/' || ?1 || ':' || ?3 AND until > ?4
LIMIT 1
"""
LOCK = """
INSERT OR REPLACE INTO locks (class, place, key, job, until, ends) VALUES (?, ?, ?, ?, ?, ?)
"""
ANSWER = "INSERT OR REPLACE INTO answered (id, job, at) VALUES (?, ?, ?)"
ANSWERED = "SELECT job FROM answered WHERE id = ?"
OLD_ANSWERS = "DELETE FROM answered WHERE at < ?"
# The last one wins as a whole: nothing of the first one is left but its id and its place in line.
REPLACE_CONTENT = """
UPDATE jobs SET state = 'delayed', run_at = ?, era = ?, envelope = ?, queue = ?, expires_at = ?,
    lane = ?, durable = ?
WHERE id = ? AND attempt = 1 AND state IN ('delayed', 'parked', 'limited')
"""
STARTED = """
DELETE FROM locks WHERE job = ?1 AND ends = 'started'
    AND (?2 OR EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND NOT marked))
"""
LAPSED = "DELETE FROM locks WHERE until <= ?"

BEGIN_BATCH = """
INSERT INTO batches (id, name, created_at, changed_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (id) DO UPDATE SET changed_at = excluded.changed_at WHERE open
"""
BATCHES_OPEN = "SELECT id, open FROM batches WHERE id IN (SELECT value FROM json_each(?))"
COMPLETE = """
SELECT DISTINCT chain FROM jobs WHERE step = 0 AND chain IN (SELECT value FROM json_each(?))
"""
BROADCASTS = f"""
SELECT value FROM json_each(?) WHERE EXISTS (
    SELECT 1 FROM jobs WHERE batch = value AND batch IS NOT NULL AND {IS_OWN}
)
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
# The first job of a chain that travels in several messages comes last, and is never held.
DROP_HEADLESS = """
UPDATE jobs SET state = 'done', outcome = 'incomplete chain', done_at = ?1, envelope = x''
WHERE state = 'held' AND chain IS NOT NULL AND batch IS NULL AND run_at <= ?2
    AND substr(chain, 1, 6) <> 'batch:'
    AND NOT EXISTS (
        SELECT 1 FROM jobs AS other WHERE other.chain = jobs.chain AND other.chain IS NOT NULL
        AND other.state <> 'held' AND coalesce(other.outcome, '') <> 'incomplete chain'
    )
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
