"""What the end of a batch's job sets free, decided in one trigger.

SQLite gives triggers of one change no order to rely on: what depends on several counters of a batch
is one trigger, which looks at all of them.
"""

from __future__ import annotations

from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS, CATCH, FINALLY, THEN

BATCH_ENDS = f"""
DROP TRIGGER batch_fails;
DROP TRIGGER batch_ends;
DROP TRIGGER chain_forgotten;

-- `catch` with the first failure; `finally` with the last end; `then` when all are done, also after
-- a failed job was run again by hand: until then it stays held, unless it can never run.
CREATE TRIGGER batch_counts AFTER UPDATE OF pending, open, failed ON batches
    WHEN new.failed > 0 OR (new.pending = 0 AND NOT new.open) BEGIN
    UPDATE jobs SET state = 'parked', run_at = new.changed_at
        WHERE chain = '{CALLBACKS}' || new.id AND step = {CATCH} AND state = 'held'
        AND new.failed > 0;
    UPDATE batches SET finished_at = new.changed_at
        WHERE id = new.id AND finished_at IS NULL AND new.pending = 0 AND NOT new.open;
    UPDATE jobs SET state = 'parked', run_at = new.changed_at
        WHERE chain = '{CALLBACKS}' || new.id AND state = 'held'
        AND new.pending = 0 AND NOT new.open
        AND (step = {FINALLY} OR (step = {THEN} AND new.failed = 0 AND new.cancelled = 0));
    UPDATE jobs SET state = 'done', outcome = 'not needed', done_at = new.changed_at,
        envelope = x''
        WHERE chain = '{CALLBACKS}' || new.id AND state = 'held'
        AND new.pending = 0 AND NOT new.open
        AND (step = {CATCH} OR (step = {THEN} AND new.cancelled > 0));
END;
CREATE TRIGGER batch_member_forgotten AFTER DELETE ON failed
    WHEN EXISTS (SELECT 1 FROM jobs WHERE id = old.id AND state = 'done' AND batch IS NOT NULL)
BEGIN
    UPDATE jobs SET state = 'done', outcome = 'not needed', done_at = old.failed_at,
        envelope = x''
        WHERE chain = '{CALLBACKS}' || (SELECT batch FROM jobs WHERE id = old.id)
        AND step = {THEN} AND state = 'held';
END;
CREATE TRIGGER batch_forgotten AFTER DELETE ON batches BEGIN
    UPDATE jobs SET state = 'done', outcome = 'not needed', done_at = old.changed_at,
        envelope = x''
        WHERE chain = '{CALLBACKS}' || old.id AND state = 'held';
END;

-- A batch's callbacks are no steps of one another: what becomes of one is nothing to the others.
CREATE TRIGGER chain_forgotten AFTER DELETE ON failed
    WHEN EXISTS (
        SELECT 1 FROM jobs WHERE id = old.id AND state = 'done' AND chain IS NOT NULL
        AND substr(chain, 1, {len(CALLBACKS)}) <> '{CALLBACKS}'
    )
BEGIN
    UPDATE jobs SET state = 'done', outcome = 'with its chain', done_at = old.failed_at,
        envelope = x''
        WHERE state = 'held' AND chain = (SELECT chain FROM jobs WHERE id = old.id)
        AND step > (SELECT step FROM jobs WHERE id = old.id);
END;
"""
