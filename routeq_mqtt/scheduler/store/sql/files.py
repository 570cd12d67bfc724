"""Statements of the check of a database, named."""

from __future__ import annotations

ROWS = """
SELECT queue, state, count(*) FROM jobs GROUP BY queue, state
UNION ALL
SELECT queue, 'failed', count(*) FROM failed GROUP BY queue
"""
COUNTED = "SELECT queue, state, n FROM counts WHERE n <> 0"
