"""Locks that cannot collide: a job class, a place and a key, each in a column of its own.

A lock of an older version has the class and the key in one text, and no place; it is looked up,
too, for as long as it lives. What a newcomer was answered is remembered for a while: its producer
may not have had the answer, and sends it again.
"""

from __future__ import annotations

LOCKS = """
DROP TRIGGER jobs_unlock;
ALTER TABLE locks RENAME TO old_locks;
DROP INDEX locks_of_job;
DROP INDEX locks_lapsing;
CREATE TABLE locks (
    class TEXT NOT NULL,
    place TEXT NOT NULL,
    key TEXT NOT NULL,
    job TEXT NOT NULL,
    until REAL NOT NULL,
    ends TEXT NOT NULL,
    PRIMARY KEY (class, place, key)
) WITHOUT ROWID;
CREATE INDEX locks_of_job ON locks (job);
CREATE INDEX locks_lapsing ON locks (until);
INSERT INTO locks SELECT '', '', key, job, until, ends FROM old_locks;
DROP TABLE old_locks;
CREATE TRIGGER jobs_unlock AFTER UPDATE OF state ON jobs
    WHEN new.special AND new.state = 'done' AND old.state <> 'done' BEGIN
    DELETE FROM locks WHERE job = new.id AND ends <> 'time';
END;

CREATE TABLE answered (id TEXT PRIMARY KEY, job TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX answered_oldest ON answered (at);

-- How a trigger's job takes what is no map: 'bytes', 'text', or by what it looks like.
ALTER TABLE triggers ADD COLUMN payload TEXT;
-- Whether a map's keys are fields of it.
ALTER TABLE triggers ADD COLUMN maps INTEGER NOT NULL DEFAULT TRUE;
"""
