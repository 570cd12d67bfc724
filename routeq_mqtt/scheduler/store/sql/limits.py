"""Statements of limits, named."""

from __future__ import annotations

OPENED = "SELECT name FROM gauges WHERE opens_at <= ? ORDER BY opens_at LIMIT ?"
NEXT_OPENING = "SELECT min(opens_at) FROM gauges WHERE opens_at IS NOT NULL"
SET_OPENING = "UPDATE gauges SET opens_at = ? WHERE name = ?"
# The clock was set back, or we have just begun: what was due by another clock is looked at.
LOOK_AGAIN = "UPDATE gauges SET opens_at = 0 WHERE opens_at > ?"
GAUGE = "SELECT most, seconds, tokens, at, used FROM gauges WHERE name = ?"
FILL = "UPDATE gauges SET tokens = ?, at = ? WHERE name = ?"
NAME_NUMBERS = """
INSERT INTO gauges (name, most, seconds) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET most = excluded.most, seconds = excluded.seconds
"""
# Full again, or without a job that uses it: the next one brings its number along. A rate whose
# numbers an older version did not keep has been forgotten by everybody after a year.
IDLE_GAUGES = """
DELETE FROM gauges WHERE opens_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM lanes WHERE blocked_on = gauges.name)
    AND CASE substr(name, 1, 5)
        WHEN 'slots' THEN used <= 0
        WHEN 'rate ' THEN at IS NULL OR at < ?1 - 31622400
            OR tokens + (?1 - at) * most / seconds >= most
        ELSE FALSE END
"""

READY = "SELECT queue, lane FROM lanes WHERE blocked_on IS NULL ORDER BY seq LIMIT ?"
BEHIND = "SELECT queue, lane FROM lanes WHERE blocked_on = ? ORDER BY seq LIMIT ?"
ANY_LANE = "SELECT EXISTS (SELECT 1 FROM lanes)"
# In the order of its first job. A lane that has none left is gone.
BLOCK = """
UPDATE lanes SET blocked_on = ?3, seq = coalesce((
    SELECT seq FROM jobs
    WHERE state = 'limited' AND queue = ?1 AND coalesce(jobs.lane, '') = ?2 ORDER BY seq LIMIT 1
), seq) WHERE queue = ?1 AND lane = ?2
"""
HOMES = "SELECT substr(name, 6) FROM gauges WHERE name > 'home ' AND name < 'home!'"
CLOSE_HOME = "INSERT INTO gauges (name) VALUES (?) ON CONFLICT DO NOTHING"
FORGET_GAUGE = "DELETE FROM gauges WHERE name = ?"

NEXT = """
SELECT seq, id FROM jobs
WHERE state = 'limited' AND queue = ? AND coalesce(lane, '') = ? ORDER BY seq LIMIT ?
"""
# A trigger gives back what it had taken.
GIVE_BACK_PARKED = """
UPDATE jobs SET granted = FALSE, state = 'limited'
WHERE state = 'parked' AND granted AND queue = ?
    AND EXISTS (SELECT 1 FROM slots WHERE job = jobs.id)
"""
# From one queue to the next, over the index: however many jobs are parked there.
GRANTED_QUEUES = """
WITH RECURSIVE queues (name) AS (
    SELECT min(queue) FROM jobs WHERE state = 'parked' AND granted
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE state = 'parked' AND granted AND queue > queues.name)
    FROM queues WHERE name IS NOT NULL
)
SELECT name FROM queues WHERE name IS NOT NULL
"""
RELEASED_QUEUES = "SELECT queue FROM counts WHERE state = 'released' AND n > 0"
HELD_SLOTS = """
SELECT DISTINCT jobs.id, jobs.deliveries FROM jobs CROSS JOIN slots ON slots.job = jobs.id
WHERE jobs.state = 'released' AND jobs.queue = ? AND jobs.granted
    AND EXISTS (SELECT 1 FROM lanes WHERE blocked_on = 'slots ' || slots.key)
"""
GIVE_BACK_RELEASED = """
UPDATE jobs SET granted = FALSE WHERE id = ? AND state = 'released' AND granted AND deliveries = ?
"""
GIVE_BACK_CANCELLED = """
UPDATE jobs SET granted = FALSE WHERE id = ? AND state = 'released' AND granted
"""
# Granted first: the state's trigger looks at it.
GRANT = "UPDATE jobs SET granted = TRUE, state = 'parked' WHERE id = ? AND state = 'limited'"
TAKE_SLOT = "INSERT INTO slots (key, job) VALUES (?, ?) ON CONFLICT DO NOTHING"

QUEUE_RATES = """
SELECT substr(name, 7), most, seconds FROM gauges WHERE name > 'queue ' AND name < 'queue!'
"""
# A new bucket is full; one that becomes another keeps no more than that one holds.
LIMIT_QUEUE = """
INSERT INTO gauges (name, most, seconds, tokens, at) VALUES ('queue ' || ?1, ?2, ?3, ?2, ?4)
ON CONFLICT (name) DO UPDATE SET
    most = excluded.most, seconds = excluded.seconds, tokens = min(tokens, excluded.most),
    opens_at = 0
"""
UNLIMIT_QUEUE = "DELETE FROM gauges WHERE name = 'queue ' || ?"
LET_LANES_GO = "UPDATE lanes SET blocked_on = NULL WHERE blocked_on = 'queue ' || ?"
HOLD_BACKLOG = """
UPDATE jobs SET state = 'limited' WHERE queue = ? AND state = 'parked' AND NOT granted
"""
LET_BACKLOG_GO = """
UPDATE jobs SET state = 'parked' WHERE queue = ? AND state = 'limited' AND lane IS NULL
"""
