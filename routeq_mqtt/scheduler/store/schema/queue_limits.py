"""The limit of a queue: whatever is parked there waits in the state *limited* for its turn.

Which jobs that holds for is asked at the moment when one is parked, so that a limit is given,
changed and taken away without a look at the jobs that are elsewhere.
"""

from __future__ import annotations

QUEUE_LIMITS = """
CREATE TABLE queue_limits (
    queue TEXT PRIMARY KEY,
    most REAL NOT NULL,
    seconds REAL NOT NULL,
    tokens REAL NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;

DROP INDEX jobs_limited;
CREATE INDEX jobs_limited ON jobs (queue, coalesce(lane, ''), seq) WHERE state = 'limited';

DROP TRIGGER limits_in;
CREATE TRIGGER limits_in AFTER INSERT ON jobs
    WHEN new.state = 'parked' AND (
        new.lane IS NOT NULL OR EXISTS (SELECT 1 FROM queue_limits WHERE queue = new.queue)
    ) BEGIN
    UPDATE jobs SET state = 'limited' WHERE id = new.id;
END;
DROP TRIGGER limits_on;
CREATE TRIGGER limits_on AFTER UPDATE OF state ON jobs
    WHEN new.state = 'parked' AND NOT new.granted AND (
        new.lane IS NOT NULL OR EXISTS (SELECT 1 FROM queue_limits WHERE queue = new.queue)
    ) BEGIN
    UPDATE jobs SET state = 'limited' WHERE id = new.id;
END;
"""
