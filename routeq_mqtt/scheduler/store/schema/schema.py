"""The schema of the scheduler's database, and how an older one becomes this one."""

from __future__ import annotations

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.store.schema.batch_ends import BATCH_ENDS
from routeq_mqtt.scheduler.store.schema.batches import BATCHES
from routeq_mqtt.scheduler.store.schema.devices import DEVICES
from routeq_mqtt.scheduler.store.schema.gauges import GAUGES
from routeq_mqtt.scheduler.store.schema.given_back import GIVEN_BACK
from routeq_mqtt.scheduler.store.schema.identity import IDENTITY, IS_OWN
from routeq_mqtt.scheduler.store.schema.keys import KEYS
from routeq_mqtt.scheduler.store.schema.limits import LIMITS
from routeq_mqtt.scheduler.store.schema.locks import LOCKS
from routeq_mqtt.scheduler.store.schema.observe import OBSERVE
from routeq_mqtt.scheduler.store.schema.queue_limits import QUEUE_LIMITS
from routeq_mqtt.scheduler.store.schema.retained import RETAINED
from routeq_mqtt.scheduler.store.schema.schedules import SCHEDULES
from routeq_mqtt.scheduler.store.schema.sessions import SESSIONS
from routeq_mqtt.scheduler.store.sql.clock_jumps import ERA

_VERSION_1 = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    state TEXT NOT NULL,
    run_at REAL NOT NULL,
    seq INTEGER NOT NULL,
    durable INTEGER NOT NULL,
    expires_at REAL,
    done_at REAL,
    envelope BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_delayed ON jobs (run_at, seq) WHERE state = 'delayed';
CREATE INDEX jobs_parked ON jobs (queue, seq) WHERE state = 'parked';
CREATE INDEX jobs_released ON jobs (queue) WHERE state = 'released';
CREATE INDEX jobs_done ON jobs (durable, done_at) WHERE state = 'done';

CREATE TABLE failed (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    job TEXT,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    worker TEXT,
    failed_at REAL NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX failed_newest ON failed (failed_at DESC, id);
CREATE INDEX failed_of_queue ON failed (queue, failed_at DESC, id);

CREATE TABLE counts (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) WITHOUT ROWID;

CREATE TABLE untagged (
    packet_id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    id TEXT NOT NULL
);

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('seq', 0);

CREATE TRIGGER jobs_in AFTER INSERT ON jobs BEGIN
    INSERT INTO counts VALUES (new.queue, new.state, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER jobs_out AFTER DELETE ON jobs BEGIN
    UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = old.state;
END;
CREATE TRIGGER jobs_over AFTER UPDATE OF state, queue ON jobs
    WHEN new.state <> old.state OR new.queue <> old.queue BEGIN
    UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = old.state;
    INSERT INTO counts VALUES (new.queue, new.state, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER failed_in AFTER INSERT ON failed BEGIN
    INSERT INTO counts VALUES (new.queue, 'failed', 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER failed_out AFTER DELETE ON failed BEGIN
    UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = 'failed';
END;
"""

# What was ordered: cancelled jobs, paused queues, drained workers. A job that is cancelled is over
# wherever it waits here, and where it comes back to: in the transaction that brings it.
_VERSION_2 = """
ALTER TABLE jobs ADD COLUMN outcome TEXT;

CREATE TABLE orders (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Triggers fire in no order that we may rely on: a count may go down before it went up.
DROP TRIGGER jobs_over;
CREATE TRIGGER jobs_over AFTER UPDATE OF state, queue ON jobs
    WHEN new.state <> old.state OR new.queue <> old.queue BEGIN
    INSERT INTO counts VALUES (old.queue, old.state, -1)
        ON CONFLICT DO UPDATE SET n = n - 1;
    INSERT INTO counts VALUES (new.queue, new.state, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER jobs_cancelled AFTER INSERT ON orders WHEN new.kind = 'cancel' BEGIN
    UPDATE jobs SET state = 'done', outcome = 'cancelled', done_at = new.at, envelope = x''
        WHERE id = new.name AND state NOT IN ('released', 'done');
END;
CREATE TRIGGER jobs_cancelled_in AFTER INSERT ON jobs
    WHEN new.state <> 'done'
    AND EXISTS (SELECT 1 FROM orders WHERE kind = 'cancel' AND name = new.id) BEGIN
    UPDATE jobs SET state = 'done', outcome = 'cancelled', done_at = new.run_at, envelope = x''
        WHERE id = new.id;
END;
CREATE TRIGGER jobs_cancelled_back AFTER UPDATE OF state ON jobs
    WHEN new.state NOT IN ('released', 'done')
    AND EXISTS (SELECT 1 FROM orders WHERE kind = 'cancel' AND name = new.id) BEGIN
    UPDATE jobs SET state = 'done', outcome = 'cancelled', done_at = new.run_at, envelope = x''
        WHERE id = new.id;
END;
"""

_VERSION_3 = """
CREATE TABLE triggers (
    pattern TEXT NOT NULL,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    with_topic INTEGER NOT NULL,
    PRIMARY KEY (pattern, job)
) WITHOUT ROWID;
"""

_VERSION_4 = """
CREATE TABLE results (
    id TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL,
    value BLOB NOT NULL,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX results_oldest ON results (expires_at);
"""

# Jobs that needed a decision are special; only they pay for what hangs on the end of a job.
_VERSION_5 = """
ALTER TABLE jobs ADD COLUMN special INTEGER NOT NULL DEFAULT FALSE;

CREATE TABLE locks (
    key TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    until REAL NOT NULL,
    ends TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX locks_of_job ON locks (job);
CREATE INDEX locks_lapsing ON locks (until);

CREATE TRIGGER jobs_unlock AFTER UPDATE OF state ON jobs
    WHEN new.special AND new.state = 'done' AND old.state <> 'done' BEGIN
    DELETE FROM locks WHERE job = new.id AND ends <> 'time';
END;
"""

# What was noted before of messages without an id was never certain, and is over with the restart.
_GIVEN = """
DROP TABLE untagged;
CREATE TABLE given_ids (
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (session, number)
) WITHOUT ROWID;
"""

# Copies of a database share its lineage; the epoch tells which of them is the newest.
_EPOCH = """
INSERT INTO meta VALUES ('lineage', lower(hex(randomblob(8))));
INSERT INTO meta VALUES ('epoch', 0);
"""

# For `features.membership`: whether a chain's first job is here, or a batch is a broadcast.
_MEMBERSHIP = f"""
CREATE INDEX jobs_heads ON jobs (chain) WHERE step = 0;
CREATE INDEX jobs_of_broadcast ON jobs (batch) WHERE batch IS NOT NULL AND {IS_OWN};
"""

# How it was established who asked: nothing was, until requests could be signed.
_AUDIT_HOW = "ALTER TABLE audit ADD COLUMN how TEXT NOT NULL DEFAULT 'claimed';"

MIGRATIONS = (
    _VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, BATCHES, LIMITS, SCHEDULES,
    DEVICES, QUEUE_LIMITS, ERA, BATCH_ENDS, GAUGES, IDENTITY, KEYS, LOCKS,
    GIVEN_BACK, _GIVEN, SESSIONS, RETAINED, _EPOCH, OBSERVE,
    _MEMBERSHIP, _AUDIT_HOW,
)  # fmt: skip
"""The script at position n makes version n + 1 of version n."""


def migrations_from(version: int, path: str) -> list[str]:
    """The scripts that a database of this version still needs.

    Raises:
        ConfigurationError: it is of a later version than this library knows.
    """
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            f"database {path} is of schema version {version}, this library knows up to "
            f"{len(MIGRATIONS)}: upgrade routeq-mqtt, or name another file with --db"
        )
    return list(MIGRATIONS[version:])
