"""Statements of the check of a database, and of its size, named."""

from __future__ import annotations

ROWS = """
SELECT queue, state, count(*) FROM jobs GROUP BY queue, state
UNION ALL
SELECT queue, 'failed', count(*) FROM failed GROUP BY queue
"""
COUNTED = "SELECT queue, state, n FROM counts WHERE n <> 0"
SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
"""Bytes of the database."""
