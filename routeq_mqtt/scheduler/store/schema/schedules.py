"""Schedules: what is due when."""

from __future__ import annotations

SCHEDULES = """
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    envelope BLOB NOT NULL,
    next_at REAL NOT NULL,
    last_at REAL,
    paused INTEGER NOT NULL DEFAULT FALSE
) WITHOUT ROWID;
"""
