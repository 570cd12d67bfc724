"""Statements of devices and rollouts, named."""

from __future__ import annotations

DEVICES = "SELECT name, tags, seen_at FROM devices ORDER BY name"
SEE_DEVICE = """
INSERT INTO devices (name, tags, seen_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET tags = excluded.tags, seen_at = excluded.seen_at
"""
BROADCAST_JOBS = """
SELECT id FROM jobs WHERE queue = ? AND state <> 'done' AND batch IS NOT NULL
"""
FORGET_DEVICE = "DELETE FROM devices WHERE name = ?"

BEGIN_ROLLOUT = """
INSERT INTO rollouts (id, every, next_at, abort_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
GOING_ON = "SELECT id, every, next_at FROM rollouts WHERE next_at IS NOT NULL ORDER BY next_at"
SEND_NEXT = """
UPDATE jobs SET state = 'parked', run_at = ?
WHERE id IN (
    SELECT id FROM jobs WHERE batch = ? AND state = 'held' AND batch IS NOT NULL
    ORDER BY step LIMIT ?
)
"""
GO_ON = """
UPDATE rollouts SET next_at = CASE
    WHEN EXISTS (SELECT 1 FROM jobs
        WHERE batch = ?1 AND state = 'held' AND batch IS NOT NULL) THEN ?2 END
WHERE id = ?1 AND next_at IS NOT NULL
"""
PROGRESS = """
SELECT b.id, b.name, b.created_at, b.total, b.pending, b.failed, b.cancelled, b.called_off,
    b.finished_at, r.aborted_at,
    (SELECT count(*) FROM jobs WHERE batch = b.id AND state = 'released'),
    (SELECT count(*) FROM jobs WHERE batch = b.id AND state = 'held')
FROM batches b LEFT JOIN rollouts r ON r.id = b.id WHERE b.id = ?
"""
