"""Limits whose cost does not grow with the jobs that wait: each lane waits on one closed gauge.

A gauge is what may close: the slots or the rate of a key, the rate of a queue, a queue that has no
worker. Its name is its kind, a space, and the key or queue. A lane is what waits of one queue with
the same limits. It is ready, or stands behind one gauge that was closed when it was last looked at;
it is looked at again when that one has opened, and at no other time.
"""

from __future__ import annotations

_NUMBERS = """
    SELECT
        CASE WHEN json_extract(value, '$.rate') IS NULL THEN 'slots ' ELSE 'rate ' END
            || json_extract(value, '$.key'),
        coalesce(json_extract(value, '$.rate[0]'), json_extract(value, '$.slots')),
        json_extract(value, '$.rate[1]')
"""

# The newest job's number is the key's.
_NEWEST = f"""
    INSERT INTO gauges (name, most, seconds)
    {_NUMBERS} FROM json_each(new.lane) WHERE TRUE
    ON CONFLICT (name) DO UPDATE SET
        most = excluded.most, seconds = excluded.seconds, tokens = min(tokens, excluded.most),
        opens_at = 0
    WHERE gauges.most IS NOT excluded.most OR gauges.seconds IS NOT excluded.seconds;
"""

GAUGES = f"""
CREATE TABLE gauges (
    name TEXT PRIMARY KEY,
    most REAL,
    seconds REAL,
    tokens REAL,
    at REAL,
    used INTEGER NOT NULL DEFAULT 0,
    opens_at REAL
) WITHOUT ROWID;
CREATE INDEX gauges_opening ON gauges (opens_at) WHERE opens_at IS NOT NULL;

CREATE TABLE lanes (
    queue TEXT NOT NULL,
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    blocked_on TEXT,
    PRIMARY KEY (queue, lane)
) WITHOUT ROWID;
CREATE INDEX lanes_ready ON lanes (seq) WHERE blocked_on IS NULL;
CREATE INDEX lanes_blocked ON lanes (blocked_on, seq) WHERE blocked_on IS NOT NULL;

INSERT INTO gauges (name, most, seconds)
    {_NUMBERS} FROM jobs, json_each(jobs.lane)
    WHERE jobs.lane IS NOT NULL AND jobs.state <> 'done' ORDER BY jobs.seq
    ON CONFLICT (name) DO UPDATE SET most = excluded.most, seconds = excluded.seconds;
INSERT INTO gauges (name, used)
    SELECT 'slots ' || key, count(*) FROM slots WHERE TRUE GROUP BY key
    ON CONFLICT (name) DO UPDATE SET used = excluded.used;
INSERT INTO gauges (name, tokens, at)
    SELECT 'rate ' || key, tokens, at FROM buckets WHERE TRUE
    ON CONFLICT (name) DO UPDATE SET tokens = excluded.tokens, at = excluded.at;
INSERT INTO gauges (name, most, seconds, tokens, at)
    SELECT 'queue ' || queue, most, seconds, tokens, at FROM queue_limits;
INSERT INTO lanes (queue, lane, seq)
    SELECT queue, coalesce(lane, ''), min(seq) FROM jobs WHERE state = 'limited'
    GROUP BY queue, coalesce(lane, '');

DROP TRIGGER limits_in;
DROP TRIGGER limits_on;
DROP TABLE buckets;
DROP TABLE queue_limits;

CREATE TRIGGER limits_in AFTER INSERT ON jobs
    WHEN new.state = 'parked' AND (
        new.lane IS NOT NULL
        OR EXISTS (SELECT 1 FROM gauges WHERE name = 'queue ' || new.queue)
    ) BEGIN
    UPDATE jobs SET state = 'limited' WHERE id = new.id;
END;
CREATE TRIGGER limits_on AFTER UPDATE OF state ON jobs
    WHEN new.state = 'parked' AND NOT new.granted AND (
        new.lane IS NOT NULL
        OR EXISTS (SELECT 1 FROM gauges WHERE name = 'queue ' || new.queue)
    ) BEGIN
    UPDATE jobs SET state = 'limited' WHERE id = new.id;
END;

CREATE TRIGGER limits_named AFTER INSERT ON jobs WHEN new.lane IS NOT NULL BEGIN
    {_NEWEST}
END;
CREATE TRIGGER limits_renamed AFTER UPDATE OF lane ON jobs
    WHEN new.lane IS NOT NULL AND new.lane IS NOT old.lane BEGIN
    {_NEWEST}
END;

CREATE TRIGGER lane_begins AFTER UPDATE OF state ON jobs
    WHEN new.state = 'limited' AND old.state <> 'limited' BEGIN
    INSERT INTO lanes (queue, lane, seq) VALUES (new.queue, coalesce(new.lane, ''), new.seq)
        ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER lane_ends AFTER UPDATE OF state ON jobs
    WHEN old.state = 'limited' AND new.state <> 'limited' BEGIN
    DELETE FROM lanes WHERE queue = old.queue AND lane = coalesce(old.lane, '')
        AND NOT EXISTS (
            SELECT 1 FROM jobs WHERE state = 'limited'
            AND queue = old.queue AND coalesce(lane, '') = coalesce(old.lane, '')
        );
END;

CREATE TRIGGER slot_taken AFTER INSERT ON slots BEGIN
    INSERT INTO gauges (name, used) VALUES ('slots ' || new.key, 1)
        ON CONFLICT (name) DO UPDATE SET used = used + 1;
END;
CREATE TRIGGER slot_free AFTER DELETE ON slots BEGIN
    UPDATE gauges SET used = used - 1, opens_at = CASE
        WHEN EXISTS (SELECT 1 FROM lanes WHERE blocked_on = gauges.name) THEN 0 ELSE opens_at END
        WHERE name = 'slots ' || old.key;
    DELETE FROM gauges
        WHERE name = 'slots ' || old.key AND used <= 0 AND opens_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM lanes WHERE blocked_on = gauges.name);
END;
"""
