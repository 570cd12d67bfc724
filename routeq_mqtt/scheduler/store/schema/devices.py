"""Named devices, and rollouts: jobs of a batch that are held until their turn comes.

A broadcast is a batch with one job for each device; its counters are the batch's. A rollout sets
the held ones free as time passes. What aborts it hangs on the counter of failures, so that no
device gets the job after the failure that was one too many.
"""

from __future__ import annotations

DEVICES = """
CREATE TABLE devices (
    name TEXT PRIMARY KEY,
    tags TEXT NOT NULL,
    seen_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE rollouts (
    id TEXT PRIMARY KEY,
    every REAL NOT NULL,
    next_at REAL,
    abort_at INTEGER,
    aborted_at REAL
) WITHOUT ROWID;
CREATE INDEX rollouts_next ON rollouts (next_at) WHERE next_at IS NOT NULL;

CREATE INDEX jobs_of_rollout ON jobs (batch, step) WHERE state = 'held' AND batch IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at)
    WHERE expires_at IS NOT NULL AND state <> 'done';

CREATE TRIGGER rollout_fails AFTER UPDATE OF failed ON batches
    WHEN new.failed > old.failed BEGIN
    UPDATE rollouts SET aborted_at = new.changed_at
        WHERE id = new.id AND aborted_at IS NULL AND new.failed >= abort_at;
END;
CREATE TRIGGER rollout_aborts AFTER UPDATE OF aborted_at ON rollouts
    WHEN new.aborted_at IS NOT NULL AND old.aborted_at IS NULL BEGIN
    UPDATE rollouts SET next_at = NULL WHERE id = new.id;
    UPDATE batches SET called_off = TRUE WHERE id = new.id;
    UPDATE jobs SET state = 'done', outcome = 'with its batch', done_at = new.aborted_at,
        envelope = x''
        WHERE batch = new.id AND state NOT IN ('released', 'done');
END;
CREATE TRIGGER rollout_forgotten AFTER DELETE ON batches BEGIN
    DELETE FROM rollouts WHERE id = old.id;
END;
"""
