"""Every statement of the broker's database, named."""

from __future__ import annotations

OPEN = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
VERSION = 2
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
    dup INTEGER NOT NULL
);
CREATE TABLE sessions (
    client_id TEXT PRIMARY KEY,
    window INTEGER NOT NULL,
    user TEXT
) WITHOUT ROWID;
CREATE TABLE subscriptions (
    client_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    qos INTEGER NOT NULL,
    PRIMARY KEY (client_id, filter)
) WITHOUT ROWID;
CREATE TABLE retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 2;
COMMIT;
"""
FROM_VERSION_1 = """
BEGIN;
ALTER TABLE sessions ADD COLUMN user TEXT;
PRAGMA user_version = 2;
COMMIT;
"""

ENTRIES = (
    "SELECT number, topic, payload, share, queue, owner, mid, dup FROM entries ORDER BY number"
)
SESSIONS = "SELECT client_id, window, user FROM sessions"
SUBSCRIPTIONS = "SELECT client_id, filter, qos FROM subscriptions"
RETAINED = "SELECT topic, payload FROM retained"

SAVE_ENTRY = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DELETE_ENTRY = "DELETE FROM entries WHERE number = ?"
SAVE_SESSION = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)"
DELETE_SESSION = "DELETE FROM sessions WHERE client_id = ?"
SAVE_SUBSCRIPTION = "INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?)"
DELETE_SUBSCRIPTION = "DELETE FROM subscriptions WHERE client_id = ? AND filter = ?"
DELETE_SUBSCRIPTIONS = "DELETE FROM subscriptions WHERE client_id = ?"
RETAIN = "INSERT OR REPLACE INTO retained VALUES (?, ?)"
UNRETAIN = "DELETE FROM retained WHERE topic = ?"
