"""Statements of limits, named."""

from __future__ import annotations

LANES = "SELECT lane FROM jobs WHERE state = 'limited' GROUP BY lane ORDER BY min(seq)"
NEXT = "SELECT id FROM jobs WHERE state = 'limited' AND lane = ? ORDER BY seq LIMIT ?"
USED = "SELECT count(*) FROM slots WHERE key = ?"
BUCKET = "SELECT tokens, at FROM buckets WHERE key = ?"
# Granted first: the state's trigger looks at it.
GRANT = "UPDATE jobs SET granted = TRUE, state = 'parked' WHERE id = ? AND state = 'limited'"
TAKE_SLOT = "INSERT OR IGNORE INTO slots (key, job) VALUES (?, ?)"
FILL_BUCKET = "INSERT OR REPLACE INTO buckets (key, tokens, at) VALUES (?, ?, ?)"
OLD_BUCKETS = "DELETE FROM buckets WHERE at < ?"
