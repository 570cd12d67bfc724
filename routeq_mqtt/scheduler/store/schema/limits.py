"""Limits: a job that is limited waits in the state *limited* until it is granted its turn.

What was granted is given back in the transaction that ends the run: by the job's end, by a retry
(another attempt asks anew), or by its delay.
"""

from __future__ import annotations

LIMITS = """
ALTER TABLE jobs ADD COLUMN lane TEXT;
ALTER TABLE jobs ADD COLUMN granted INTEGER NOT NULL DEFAULT FALSE;
CREATE INDEX jobs_limited ON jobs (lane, seq) WHERE state = 'limited';

CREATE TABLE slots (key TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (key, job)) WITHOUT ROWID;
CREATE INDEX slots_of_job ON slots (job);
CREATE TABLE buckets (key TEXT PRIMARY KEY, tokens REAL NOT NULL, at REAL NOT NULL) WITHOUT ROWID;

CREATE TRIGGER limits_in AFTER INSERT ON jobs
    WHEN new.lane IS NOT NULL AND new.state = 'parked' BEGIN
    UPDATE jobs SET state = 'limited' WHERE id = new.id;
END;
CREATE TRIGGER limits_on AFTER UPDATE OF state ON jobs
    WHEN new.lane IS NOT NULL AND new.state = 'parked' AND NOT new.granted BEGIN
    UPDATE jobs SET state = 'limited' WHERE id = new.id;
END;
CREATE TRIGGER limits_another_attempt AFTER UPDATE OF attempt ON jobs
    WHEN new.granted AND new.attempt <> old.attempt BEGIN
    DELETE FROM slots WHERE job = new.id;
    UPDATE jobs SET granted = FALSE, state = CASE state WHEN 'parked' THEN 'limited' ELSE state END
        WHERE id = new.id;
END;
CREATE TRIGGER limits_over AFTER UPDATE OF state ON jobs
    WHEN new.granted AND new.state NOT IN ('parked', 'released') BEGIN
    DELETE FROM slots WHERE job = new.id;
    UPDATE jobs SET granted = FALSE WHERE id = new.id;
END;
"""
