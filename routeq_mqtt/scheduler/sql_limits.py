"""Statements of limits, named."""

from __future__ import annotations

# From one lane of a queue to the next, over the index: however many jobs stand in them.
LANES = """
WITH RECURSIVE lanes (id, queue, lane) AS (
    SELECT * FROM (
        SELECT id, queue, coalesce(lane, '') FROM jobs WHERE state = 'limited'
        ORDER BY queue, coalesce(lane, ''), seq LIMIT 1
    )
    UNION ALL
    SELECT jobs.id, jobs.queue, coalesce(jobs.lane, '') FROM lanes JOIN jobs ON jobs.id = (
        SELECT id FROM jobs
        WHERE state = 'limited' AND (queue, coalesce(lane, '')) > (lanes.queue, lanes.lane)
        ORDER BY queue, coalesce(lane, ''), seq LIMIT 1
    )
)
SELECT queue, lane FROM lanes
"""
NEXT = """
SELECT seq, id FROM jobs
WHERE state = 'limited' AND queue = ? AND coalesce(lane, '') = ? ORDER BY seq LIMIT ?
"""
USED = "SELECT count(*) FROM slots WHERE key = ?"
BUCKET = "SELECT tokens, at FROM buckets WHERE key = ?"
# Granted first: the state's trigger looks at it.
GRANT = "UPDATE jobs SET granted = TRUE, state = 'parked' WHERE id = ? AND state = 'limited'"
TAKE_SLOT = "INSERT OR IGNORE INTO slots (key, job) VALUES (?, ?)"
FILL_BUCKET = "INSERT OR REPLACE INTO buckets (key, tokens, at) VALUES (?, ?, ?)"
OLD_BUCKETS = "DELETE FROM buckets WHERE at < ?"

QUEUE_RATES = "SELECT queue, most, seconds FROM queue_limits"
QUEUE_BUCKETS = "SELECT queue, most, seconds, tokens, at FROM queue_limits"
FILL_QUEUE_BUCKET = "UPDATE queue_limits SET tokens = ?, at = ? WHERE queue = ?"
# A new bucket is full; one that becomes another keeps no more than that one holds.
LIMIT_QUEUE = """
INSERT INTO queue_limits (queue, most, seconds, tokens, at) VALUES (?1, ?2, ?3, ?2, ?4)
ON CONFLICT (queue) DO UPDATE SET
    most = excluded.most, seconds = excluded.seconds, tokens = min(tokens, excluded.most)
"""
UNLIMIT_QUEUE = "DELETE FROM queue_limits WHERE queue = ?"
HOLD_BACKLOG = """
UPDATE jobs SET state = 'limited' WHERE queue = ? AND state = 'parked' AND NOT granted
"""
LET_BACKLOG_GO = """
UPDATE jobs SET state = 'parked' WHERE queue = ? AND state = 'limited' AND lane IS NULL
"""
