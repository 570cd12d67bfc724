"""Statements of the epoch of the database, named."""

from __future__ import annotations

LINEAGE = "SELECT value FROM meta WHERE key = 'lineage'"
READ = "SELECT value FROM meta WHERE key = 'epoch'"
WRITE = "UPDATE meta SET value = ? WHERE key = 'epoch'"
