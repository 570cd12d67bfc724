"""The tables of the database in PostgreSQL: those of the SQLite file, with its newest schema.

Text is compared by its bytes, as SQLite does: hence the collation.
"""

from __future__ import annotations

import re

from routeq_mqtt.scheduler.store.engines.postgres.triggers import TRIGGERS
from routeq_mqtt.scheduler.store.schema.identity import OWN
from routeq_mqtt.scheduler.store.schema.schema import migrations_from as of_files

_IS_OWN = f"origin = '\\x{OWN.hex()}'::bytea"

_TABLES = f"""
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    state TEXT NOT NULL,
    run_at DOUBLE PRECISION NOT NULL,
    seq BIGINT NOT NULL,
    durable BOOLEAN NOT NULL,
    expires_at DOUBLE PRECISION,
    done_at DOUBLE PRECISION,
    envelope BYTEA NOT NULL,
    outcome TEXT,
    special BOOLEAN NOT NULL DEFAULT FALSE,
    chain TEXT,
    step BIGINT,
    batch TEXT,
    lane TEXT,
    granted BOOLEAN NOT NULL DEFAULT FALSE,
    era TEXT,
    marked BOOLEAN NOT NULL DEFAULT FALSE,
    origin BYTEA
);
CREATE INDEX jobs_delayed ON jobs (run_at, seq) WHERE state = 'delayed';
CREATE INDEX jobs_parked ON jobs (queue, seq) WHERE state = 'parked';
CREATE INDEX jobs_released ON jobs (queue, id) WHERE state = 'released';
CREATE INDEX jobs_done ON jobs (durable, done_at, id) WHERE state = 'done';
CREATE INDEX jobs_held ON jobs (chain, step) WHERE state = 'held';
CREATE INDEX jobs_of_batch ON jobs (batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_limited ON jobs (queue, (coalesce(lane, '')), seq) WHERE state = 'limited';
CREATE INDEX jobs_of_rollout ON jobs (batch, step) WHERE state = 'held' AND batch IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL AND state <> 'done';
CREATE INDEX jobs_of_chain ON jobs (chain, step) WHERE chain IS NOT NULL;
CREATE INDEX jobs_granted ON jobs (queue) WHERE state = 'parked' AND granted;
CREATE INDEX jobs_delayed_of ON jobs (queue, run_at, seq) WHERE state = 'delayed';
CREATE INDEX jobs_held_of ON jobs (queue, seq) WHERE state = 'held';
CREATE INDEX jobs_heads ON jobs (chain) WHERE step = 0;
CREATE INDEX jobs_of_broadcast ON jobs (batch) WHERE batch IS NOT NULL AND {_IS_OWN};

CREATE TABLE failed (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    job TEXT,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    worker TEXT,
    failed_at DOUBLE PRECISION NOT NULL,
    record BYTEA NOT NULL,
    content BYTEA,
    origin BYTEA,
    exception TEXT NOT NULL DEFAULT ''
);
CREATE INDEX failed_newest ON failed (failed_at DESC, id);
CREATE INDEX failed_of_queue ON failed (queue, failed_at DESC, id);
CREATE INDEX failed_of_group
    ON failed (queue, (coalesce(job, '')), reason, exception, failed_at, id);

CREATE TABLE failed_groups (
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    reason TEXT NOT NULL,
    exception TEXT NOT NULL,
    n BIGINT NOT NULL,
    first_at DOUBLE PRECISION NOT NULL,
    last_at DOUBLE PRECISION NOT NULL,
    last_id TEXT NOT NULL,
    PRIMARY KEY (queue, job, reason, exception)
);
CREATE INDEX failed_groups_largest ON failed_groups (n);

CREATE TABLE counts (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (queue, state)
);

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);

CREATE TABLE given_ids (
    session TEXT NOT NULL,
    number BIGINT NOT NULL,
    packet_id BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (session, number)
);

CREATE TABLE orders (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE triggers (
    pattern TEXT NOT NULL,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    with_topic BOOLEAN NOT NULL,
    payload TEXT,
    maps BOOLEAN NOT NULL DEFAULT TRUE,
    PRIMARY KEY (pattern, job)
);

CREATE TABLE results (
    id TEXT PRIMARY KEY,
    attempt BIGINT NOT NULL,
    value BYTEA NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    proven BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX results_oldest ON results (expires_at);

CREATE TABLE locks (
    class TEXT NOT NULL,
    place TEXT NOT NULL,
    key TEXT NOT NULL,
    job TEXT NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    ends TEXT NOT NULL,
    PRIMARY KEY (class, place, key)
);
CREATE INDEX locks_of_job ON locks (job);
CREATE INDEX locks_lapsing ON locks (until);

CREATE TABLE answered (id TEXT PRIMARY KEY, job TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);
CREATE INDEX answered_oldest ON answered (at);

CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    name TEXT,
    created_at DOUBLE PRECISION NOT NULL,
    open BOOLEAN NOT NULL DEFAULT TRUE,
    total BIGINT NOT NULL DEFAULT 0,
    pending BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    cancelled BIGINT NOT NULL DEFAULT 0,
    called_off BOOLEAN NOT NULL DEFAULT FALSE,
    changed_at DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION
);
CREATE INDEX batches_finished ON batches (finished_at);

CREATE TABLE slots (key TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (key, job));
CREATE INDEX slots_of_job ON slots (job);

CREATE TABLE gauges (
    name TEXT PRIMARY KEY,
    most DOUBLE PRECISION,
    seconds DOUBLE PRECISION,
    tokens DOUBLE PRECISION,
    at DOUBLE PRECISION,
    used BIGINT NOT NULL DEFAULT 0,
    opens_at DOUBLE PRECISION
);
CREATE INDEX gauges_opening ON gauges (opens_at) WHERE opens_at IS NOT NULL;

CREATE TABLE lanes (
    queue TEXT NOT NULL,
    lane TEXT NOT NULL,
    seq BIGINT NOT NULL,
    blocked_on TEXT,
    PRIMARY KEY (queue, lane)
);
CREATE INDEX lanes_ready ON lanes (seq) WHERE blocked_on IS NULL;
CREATE INDEX lanes_blocked ON lanes (blocked_on, seq) WHERE blocked_on IS NOT NULL;

CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    envelope BYTEA NOT NULL,
    next_at DOUBLE PRECISION NOT NULL,
    last_at DOUBLE PRECISION,
    paused BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE devices (
    name TEXT PRIMARY KEY,
    tags TEXT NOT NULL,
    seen_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE rollouts (
    id TEXT PRIMARY KEY,
    every DOUBLE PRECISION NOT NULL,
    next_at DOUBLE PRECISION,
    abort_at BIGINT,
    aborted_at DOUBLE PRECISION
);
CREATE INDEX rollouts_next ON rollouts (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE sessions (
    session TEXT PRIMARY KEY,
    worker TEXT NOT NULL,
    queue TEXT NOT NULL
);
CREATE INDEX sessions_of_worker ON sessions (worker);

CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    digest BYTEA NOT NULL,
    number BIGSERIAL
);
CREATE INDEX retained_oldest ON retained (number);

CREATE TABLE stats_here (
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    reason TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (queue, job, reason)
);
CREATE TABLE stats (
    step BIGINT NOT NULL,
    at BIGINT NOT NULL,
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    tally BYTEA NOT NULL,
    PRIMARY KEY (step, at, queue, job)
);
CREATE TABLE stats_totals (
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    tally BYTEA NOT NULL,
    PRIMARY KEY (queue, job)
);
CREATE TABLE stats_workers (
    worker TEXT PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    stats BYTEA NOT NULL
);

CREATE TABLE bulk (
    id TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    filter BYTEA NOT NULL,
    cursor TEXT NOT NULL DEFAULT '',
    rate DOUBLE PRECISION,
    until DOUBLE PRECISION NOT NULL,
    total BIGINT NOT NULL,
    done BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    started_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION,
    by TEXT NOT NULL
);

CREATE TABLE audit (
    number BIGSERIAL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    by TEXT NOT NULL,
    what TEXT NOT NULL,
    args TEXT NOT NULL,
    outcome TEXT NOT NULL
);
"""

VERSION = 23
"""Of the schema of the SQLite file that `SCRIPT` makes the same as."""

SCRIPT = _TABLES.replace(" TEXT", ' TEXT COLLATE "C"') + TRIGGERS
"""Makes an empty schema the database."""

_KINDS = (
    (re.compile(r"\bINTEGER( NOT NULL)? DEFAULT (TRUE|FALSE)\b"), r"BOOLEAN\1 DEFAULT \2"),
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bREAL\b"), "DOUBLE PRECISION"),
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\bTEXT\b"), 'TEXT COLLATE "C"'),
    (re.compile(r"\) WITHOUT ROWID;"), ");"),
)


def migrations_from(version: int, path: str) -> list[str]:
    """The scripts that a database of this version still needs: SQLite's, with other types.

    Raises:
        ConfigurationError: it is of a later version than this library knows.
    """
    return [_translated(script) for script in of_files(version, path)]


def _translated(script: str) -> str:
    for kind, ours in _KINDS:
        script = kind.sub(ours, script)
    return script
