"""Sessions of workers at the broker, whatever becomes of their retained statuses."""

from __future__ import annotations

SESSIONS = """
CREATE TABLE sessions (
    session TEXT PRIMARY KEY,
    worker TEXT NOT NULL,
    queue TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_of_worker ON sessions (worker);
"""
