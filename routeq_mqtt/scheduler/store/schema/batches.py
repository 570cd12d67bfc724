"""Chains and batches: what follows on the end of a job, in the transaction that ends it.

A chain's later jobs are rows in the state *held*, in order of their step. A batch is a row of
counters; its callbacks are held rows of a chain of their own: `wire.envelopes.callbacks`.
"""

from __future__ import annotations

from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS, CATCH, FINALLY, THEN

SHOWN = (
    "id", "name", "created_at", "open", "total", "pending", "failed", "cancelled", "called_off",
    "finished_at",
)  # fmt: skip
"""The columns of a batch that are shown."""

BATCHES = f"""
ALTER TABLE jobs ADD COLUMN chain TEXT;
ALTER TABLE jobs ADD COLUMN step INTEGER;
ALTER TABLE jobs ADD COLUMN batch TEXT;
CREATE INDEX jobs_held ON jobs (chain, step) WHERE state = 'held';
CREATE INDEX jobs_of_batch ON jobs (batch) WHERE batch IS NOT NULL;

CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    name TEXT,
    created_at REAL NOT NULL,
    open INTEGER NOT NULL DEFAULT TRUE,
    total INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    called_off INTEGER NOT NULL DEFAULT FALSE,
    changed_at REAL NOT NULL,
    finished_at REAL
) WITHOUT ROWID;
CREATE INDEX batches_finished ON batches (finished_at);

-- Done: the next step may run. Cancelled: so are the later ones. Failed: they stay held, and go on
-- when the failed job is run again by hand.
CREATE TRIGGER chain_goes_on AFTER UPDATE OF state ON jobs
    WHEN new.chain IS NOT NULL AND new.state = 'done' AND old.state <> 'done' BEGIN
    UPDATE jobs SET state = 'parked', run_at = new.done_at
        WHERE chain = new.chain AND step = new.step + 1 AND state = 'held'
        AND new.outcome IS NULL AND NOT EXISTS (SELECT 1 FROM failed WHERE id = new.id);
    UPDATE jobs SET state = 'done', outcome = 'with its chain', done_at = new.done_at,
        envelope = x''
        WHERE chain = new.chain AND step > new.step AND state = 'held'
        AND new.outcome = 'cancelled' AND substr(new.chain, 1, {len(CALLBACKS)}) <> '{CALLBACKS}';
END;
CREATE TRIGGER chain_forgotten AFTER DELETE ON failed
    WHEN EXISTS (SELECT 1 FROM jobs WHERE id = old.id AND state = 'done' AND chain IS NOT NULL)
BEGIN
    UPDATE jobs SET state = 'done', outcome = 'with its chain', done_at = old.failed_at,
        envelope = x''
        WHERE state = 'held' AND chain = (SELECT chain FROM jobs WHERE id = old.id)
        AND step > (SELECT step FROM jobs WHERE id = old.id);
END;

CREATE TRIGGER batch_grows BEFORE INSERT ON jobs
    WHEN new.batch IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = new.id) BEGIN
    UPDATE batches SET total = total + 1, pending = pending + 1 WHERE id = new.batch;
END;
CREATE TRIGGER batch_called_off AFTER INSERT ON jobs
    WHEN new.state <> 'done'
    AND EXISTS (SELECT 1 FROM batches WHERE id = new.batch AND called_off) BEGIN
    UPDATE jobs SET state = 'done', outcome = 'with its batch', done_at = new.run_at,
        envelope = x'' WHERE id = new.id;
END;
CREATE TRIGGER batch_shrinks AFTER UPDATE OF state ON jobs
    WHEN new.batch IS NOT NULL AND new.state = 'done' AND old.state <> 'done' BEGIN
    UPDATE batches SET
        pending = pending - 1,
        cancelled = cancelled + (new.outcome IS NOT NULL),
        failed = failed
            + (new.outcome IS NULL AND EXISTS (SELECT 1 FROM failed WHERE id = new.id)),
        changed_at = new.done_at
        WHERE id = new.batch;
END;
CREATE TRIGGER batch_member_again AFTER UPDATE OF state ON jobs
    WHEN new.batch IS NOT NULL AND new.state <> 'done' AND old.state = 'done' BEGIN
    UPDATE batches SET pending = pending + 1, failed = failed - 1 WHERE id = new.batch;
END;

CREATE TRIGGER batch_fails AFTER UPDATE OF failed ON batches
    WHEN new.failed > 0 AND old.failed = 0 BEGIN
    UPDATE jobs SET state = 'parked', run_at = new.changed_at
        WHERE chain = '{CALLBACKS}' || new.id AND step = {CATCH} AND state = 'held';
END;
CREATE TRIGGER batch_ends AFTER UPDATE OF pending, open ON batches
    WHEN new.pending = 0 AND NOT new.open AND new.finished_at IS NULL BEGIN
    UPDATE batches SET finished_at = new.changed_at WHERE id = new.id;
    UPDATE jobs SET state = 'parked', run_at = new.changed_at
        WHERE chain = '{CALLBACKS}' || new.id AND state = 'held'
        AND (step = {FINALLY} OR (step = {THEN} AND new.failed = 0 AND new.cancelled = 0));
    UPDATE jobs SET state = 'done', outcome = 'not needed', done_at = new.changed_at,
        envelope = x''
        WHERE chain = '{CALLBACKS}' || new.id AND state = 'held';
END;
"""
