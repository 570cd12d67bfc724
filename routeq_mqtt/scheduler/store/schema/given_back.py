"""A slot belongs to a run: a job that was granted and cannot start now gives back what it took."""

from __future__ import annotations

GIVEN_BACK = """
CREATE INDEX jobs_of_chain ON jobs (chain, step) WHERE chain IS NOT NULL;

CREATE INDEX jobs_granted ON jobs (queue) WHERE state = 'parked' AND granted;

-- Its slots are still there: it is neither another attempt nor over. It has not started: its tokens
-- are returned, too.
CREATE TRIGGER limits_given_back AFTER UPDATE OF granted ON jobs
    WHEN old.granted AND NOT new.granted
    AND EXISTS (SELECT 1 FROM slots WHERE job = new.id) BEGIN
    DELETE FROM slots WHERE job = new.id;
    UPDATE gauges SET tokens = min(most, tokens + 1), opens_at = 0
        WHERE tokens IS NOT NULL AND (
            name = 'queue ' || new.queue
            OR name IN (
                SELECT 'rate ' || json_extract(value, '$.key') FROM json_each(new.lane)
                WHERE json_extract(value, '$.rate') IS NOT NULL
            )
        );
END;
"""
