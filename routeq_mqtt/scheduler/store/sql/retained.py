"""Statements of retained messages, named."""

from __future__ import annotations

RETAINED = "SELECT topic, digest FROM retained"
KEEP_RETAINED = "INSERT OR REPLACE INTO retained VALUES (?, ?)"
FORGET_OLDEST = "DELETE FROM retained WHERE rowid <= (SELECT max(rowid) FROM retained) - ?"

SUBSCRIBED = "SELECT value FROM meta WHERE key = 'subscribed'"
SET_SUBSCRIBED = "INSERT OR REPLACE INTO meta VALUES ('subscribed', ?)"
