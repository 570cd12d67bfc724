"""Every statement of the broker's database, named."""

from __future__ import annotations

OPEN = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
CHECKPOINT = "PRAGMA wal_checkpoint(RESTART)"
_PAGE = 4096


def log_of(limit: int) -> tuple[str, str]:
    """Bounds SQLite's log, in bytes."""
    return (
        f"PRAGMA wal_autocheckpoint = {limit // _PAGE}",
        f"PRAGMA journal_size_limit = {limit}",
    )


VERSION = 4
SCHEMA = """
BEGIN;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    share TEXT,
    queue TEXT,
    owner TEXT,
    mid INTEGER NOT NULL,
    dup INTEGER NOT NULL,
    qos INTEGER NOT NULL DEFAULT 1,
    retain INTEGER NOT NULL DEFAULT 0,
    properties BLOB NOT NULL DEFAULT x'',
    ids BLOB NOT NULL DEFAULT x'',
    expires REAL,
    released INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sessions (
    client_id TEXT PRIMARY KEY,
    window INTEGER NOT NULL,
    user TEXT,
    expiry INTEGER NOT NULL DEFAULT 4294967295,
    left_at REAL,
    mid INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE subscriptions (
    client_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    options INTEGER NOT NULL,
    identifier INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (client_id, filter)
) WITHOUT ROWID;
CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL DEFAULT 1,
    properties BLOB NOT NULL DEFAULT x'',
    expires REAL
) WITHOUT ROWID;
CREATE TABLE received (
    client_id TEXT NOT NULL,
    mid INTEGER NOT NULL,
    PRIMARY KEY (client_id, mid)
) WITHOUT ROWID;
PRAGMA user_version = 4;
COMMIT;
"""
FROM_VERSION_1 = """
BEGIN;
ALTER TABLE sessions ADD COLUMN user TEXT;
PRAGMA user_version = 2;
COMMIT;
"""
FROM_VERSION_2 = """
BEGIN;
ALTER TABLE entries ADD COLUMN qos INTEGER NOT NULL DEFAULT 1;
ALTER TABLE entries ADD COLUMN retain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN properties BLOB NOT NULL DEFAULT x'';
ALTER TABLE entries ADD COLUMN ids BLOB NOT NULL DEFAULT x'';
ALTER TABLE entries ADD COLUMN expires REAL;
ALTER TABLE entries ADD COLUMN released INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN expiry INTEGER NOT NULL DEFAULT 4294967295;
ALTER TABLE sessions ADD COLUMN left_at REAL;
ALTER TABLE subscriptions RENAME COLUMN qos TO options;
ALTER TABLE subscriptions ADD COLUMN identifier INTEGER NOT NULL DEFAULT 0;
ALTER TABLE retained ADD COLUMN qos INTEGER NOT NULL DEFAULT 1;
ALTER TABLE retained ADD COLUMN properties BLOB NOT NULL DEFAULT x'';
ALTER TABLE retained ADD COLUMN expires REAL;
CREATE TABLE received (
    client_id TEXT NOT NULL,
    mid INTEGER NOT NULL,
    PRIMARY KEY (client_id, mid)
) WITHOUT ROWID;
PRAGMA user_version = 3;
COMMIT;
"""
FROM_VERSION_3 = """
BEGIN;
ALTER TABLE sessions ADD COLUMN mid INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 4;
COMMIT;
"""
UPGRADES = (SCHEMA, FROM_VERSION_1, FROM_VERSION_2, FROM_VERSION_3)
"""What makes a database of each version one of a later version; version 0 is an empty file."""

ENTRIES = (
    "SELECT number, topic, payload, share, queue, owner, mid, dup, qos, retain, properties, ids, "
    "expires, released FROM entries ORDER BY number"
)
SESSIONS = "SELECT client_id, window, user, expiry, left_at, mid FROM sessions"
SUBSCRIPTIONS = "SELECT client_id, filter, options, identifier FROM subscriptions"
RETAINED = "SELECT topic, payload, qos, properties, expires FROM retained"
RECEIVED = "SELECT client_id, mid FROM received"

SAVE_ENTRY = (
    "INSERT OR REPLACE INTO entries (number, topic, payload, share, queue, owner, mid, dup, qos, "
    "retain, properties, ids, expires, released) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
DELETE_ENTRY = "DELETE FROM entries WHERE number = ?"
SAVE_SESSION = (
    "INSERT OR REPLACE INTO sessions (client_id, window, user, expiry, left_at, mid) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
SAVE_MID = "UPDATE sessions SET mid = ? WHERE client_id = ?"
DELETE_SESSION = "DELETE FROM sessions WHERE client_id = ?"
SAVE_SUBSCRIPTION = (
    "INSERT OR REPLACE INTO subscriptions (client_id, filter, options, identifier) "
    "VALUES (?, ?, ?, ?)"
)
DELETE_SUBSCRIPTION = "DELETE FROM subscriptions WHERE client_id = ? AND filter = ?"
DELETE_SUBSCRIPTIONS = "DELETE FROM subscriptions WHERE client_id = ?"
RETAIN = (
    "INSERT OR REPLACE INTO retained (topic, payload, qos, properties, expires) "
    "VALUES (?, ?, ?, ?, ?)"
)
UNRETAIN = "DELETE FROM retained WHERE topic = ?"
SAVE_RECEIVED = "INSERT OR REPLACE INTO received (client_id, mid) VALUES (?, ?)"
DELETE_RECEIVED = "DELETE FROM received WHERE client_id = ? AND mid = ?"
DELETE_ALL_RECEIVED = "DELETE FROM received WHERE client_id = ?"
