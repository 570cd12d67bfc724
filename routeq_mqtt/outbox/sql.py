"""Every statement of the outbox, named."""

from __future__ import annotations

# A commit is an fsync: a job that dispatch accepted survives a power cut, too.
OPEN = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA temp_store = MEMORY")

# `total` is the sum of all envelopes up to this one: first and last row say how much is there,
# and no counter is written with each job. While rows in between are missing, `ragged` is 1.
VERSION_1 = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    stored INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    expires_at REAL,
    kept_at REAL NOT NULL,
    total INTEGER NOT NULL,
    envelope BLOB NOT NULL
);
CREATE TABLE aside (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    stored INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    expires_at REAL,
    kept_at REAL NOT NULL,
    error TEXT NOT NULL,
    at REAL NOT NULL,
    envelope BLOB NOT NULL
);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('ragged', 0), ('dropped', 0), ('aside_jobs', 0), ('aside_bytes', 0);
"""

MIGRATIONS = (VERSION_1,)
"""The script at position n makes version n + 1 of version n."""

FIRST = "SELECT seq, total, length(envelope), kept_at FROM jobs ORDER BY seq LIMIT 1"
LAST = "SELECT seq, total FROM jobs ORDER BY seq DESC LIMIT 1"
EXACT = "SELECT count(*), total(length(envelope)) FROM jobs"
META = "SELECT key, value FROM meta"
ADD_TO_META = "UPDATE meta SET value = value + ? WHERE key = ?"
SET_META = "UPDATE meta SET value = ? WHERE key = ?"

ADD = """
INSERT INTO jobs (seq, id, queue, stored, delayed, expires_at, kept_at, total, envelope)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
HEAD = """
SELECT seq, id, queue, stored, delayed, expires_at, kept_at, envelope
FROM jobs ORDER BY seq LIMIT ?
"""
JOBS = "SELECT id, queue, stored, delayed, expires_at, kept_at, envelope FROM jobs ORDER BY seq"
IDS = "SELECT id FROM jobs UNION ALL SELECT id FROM aside"
FORGET_IDS = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
# With the id, since a number is used again once the last row is gone.
FORGET = "DELETE FROM jobs WHERE seq = ? AND id = ?"
BEFORE = "SELECT 1 FROM jobs WHERE seq < ? LIMIT 1"

OLDEST = "SELECT seq, length(envelope) FROM jobs ORDER BY seq"
DROP_UP_TO = "DELETE FROM jobs WHERE seq <= ?"

SET_ASIDE = """
INSERT OR IGNORE INTO aside SELECT id, queue, stored, delayed, expires_at, kept_at, ?, ?, envelope
FROM jobs WHERE seq = ? AND id = ?
"""
ASIDE = "SELECT id, queue, length(envelope), error, at FROM aside ORDER BY kept_at, id LIMIT 100"
ASIDE_JOBS = """
SELECT id, queue, stored, delayed, expires_at, kept_at, envelope FROM aside ORDER BY kept_at, id
"""
ASIDE_ROWS = """
SELECT id, queue, stored, delayed, expires_at, kept_at, error, at, envelope
FROM aside ORDER BY kept_at, id
"""
ADD_ASIDE = "INSERT OR IGNORE INTO aside VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
# Room for later; a table that earlier versions of this library do not mind.
SPARE = "CREATE TABLE IF NOT EXISTS spare (room BLOB)"
FORGET_SPARE = "DELETE FROM spare"
ADD_SPARE = "INSERT INTO spare VALUES (zeroblob(?))"
OLDEST_ASIDE = "SELECT id, length(envelope) FROM aside ORDER BY kept_at, id LIMIT 1"
FORGET_ASIDE = "DELETE FROM aside WHERE id = ?"
FORGET_ALL_ASIDE = "DELETE FROM aside"
