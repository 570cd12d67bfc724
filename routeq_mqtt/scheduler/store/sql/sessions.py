"""Statements of workers' sessions, named."""

from __future__ import annotations

SESSIONS = "SELECT session, worker, queue FROM sessions"
SEE_SESSION = """
INSERT INTO sessions (session, worker, queue) VALUES (?, ?, ?)
ON CONFLICT (session) DO UPDATE SET worker = excluded.worker, queue = excluded.queue
"""
FORGET_SESSIONS = "DELETE FROM sessions WHERE worker = ?"
