"""What operators look at: groups of failures, statistics, actions on many records, the audit log.

No page may scan or count half a million rows: each order that is shown has its index, and each
number that is shown is kept by a trigger.
"""

from __future__ import annotations

OBSERVE = """
ALTER TABLE failed ADD COLUMN exception TEXT NOT NULL DEFAULT '';
UPDATE failed SET exception = substr(error, 1, instr(error, ':') - 1)
    WHERE reason = 'exception' AND error NOT LIKE 'sealed:%'
    AND instr(error, ':') BETWEEN 2 AND 100 AND instr(substr(error, 1, instr(error, ':')), ' ') = 0;
CREATE INDEX failed_of_group ON failed (queue, coalesce(job, ''), reason, exception, failed_at, id);
CREATE INDEX jobs_delayed_of ON jobs (queue, run_at, seq) WHERE state = 'delayed';
CREATE INDEX jobs_held_of ON jobs (queue, seq) WHERE state = 'held';

CREATE TABLE failed_groups (
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    reason TEXT NOT NULL,
    exception TEXT NOT NULL,
    n INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    last_id TEXT NOT NULL,
    PRIMARY KEY (queue, job, reason, exception)
) WITHOUT ROWID;
INSERT INTO failed_groups
    SELECT queue, coalesce(job, ''), reason, exception, count(*), min(failed_at), max(failed_at),
        max(id)
    FROM failed GROUP BY 1, 2, 3, 4;
CREATE INDEX failed_groups_largest ON failed_groups (n);

CREATE TRIGGER failed_group_in AFTER INSERT ON failed BEGIN
    INSERT INTO failed_groups VALUES (
        new.queue, coalesce(new.job, ''), new.reason, new.exception, 1, new.failed_at,
        new.failed_at, new.id
    ) ON CONFLICT DO UPDATE SET n = n + 1, last_at = excluded.last_at, last_id = excluded.last_id;
END;
CREATE TRIGGER failed_group_out AFTER DELETE ON failed BEGIN
    UPDATE failed_groups SET n = n - 1 WHERE queue = old.queue AND job = coalesce(old.job, '')
        AND reason = old.reason AND exception = old.exception;
    DELETE FROM failed_groups WHERE queue = old.queue AND job = coalesce(old.job, '')
        AND reason = old.reason AND exception = old.exception AND n <= 0;
END;
CREATE TRIGGER failed_group_on AFTER UPDATE OF queue, job, reason, exception, failed_at ON failed
BEGIN
    UPDATE failed_groups SET n = n - 1 WHERE queue = old.queue AND job = coalesce(old.job, '')
        AND reason = old.reason AND exception = old.exception;
    INSERT INTO failed_groups VALUES (
        new.queue, coalesce(new.job, ''), new.reason, new.exception, 1, new.failed_at,
        new.failed_at, new.id
    ) ON CONFLICT DO UPDATE SET n = n + 1, last_at = excluded.last_at, last_id = excluded.last_id;
    DELETE FROM failed_groups WHERE queue = old.queue AND job = coalesce(old.job, '')
        AND reason = old.reason AND exception = old.exception AND n <= 0;
END;

-- What a worker did not count, since it was decided here; the next fold takes it.
CREATE TABLE stats_here (
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    reason TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue, job, reason)
) WITHOUT ROWID;
CREATE TRIGGER stats_failed_here AFTER INSERT ON failed WHEN new.worker IS NULL BEGIN
    INSERT INTO stats_here VALUES (new.queue, coalesce(new.job, '?'), new.reason, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TABLE stats (
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    tally BLOB NOT NULL,
    PRIMARY KEY (step, at, queue, job)
) WITHOUT ROWID;
CREATE TABLE stats_totals (
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    tally BLOB NOT NULL,
    PRIMARY KEY (queue, job)
) WITHOUT ROWID;
-- What of each worker's own numbers is in the tables above: in the same transaction.
CREATE TABLE stats_workers (
    worker TEXT PRIMARY KEY,
    at REAL NOT NULL,
    stats BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE bulk (
    id TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    filter BLOB NOT NULL,
    cursor TEXT NOT NULL DEFAULT '',
    rate REAL,
    until REAL NOT NULL,
    total INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    started_at REAL NOT NULL,
    ended_at REAL,
    by TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    by TEXT NOT NULL,
    what TEXT NOT NULL,
    args TEXT NOT NULL,
    outcome TEXT NOT NULL
);
"""
