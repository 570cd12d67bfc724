"""What is moved when the system clock is set; statements, named."""

from __future__ import annotations

ERA = "ALTER TABLE jobs ADD COLUMN era TEXT;"
"""Of the clock that a row's `run_at` was counted by; none: it was given as a time of the day."""

MOVE_DELAYED = """
UPDATE jobs SET run_at = run_at + ?, era = ? WHERE state = 'delayed' AND era = ?
"""
# What is older than the clock's own past was written by a clock that was right.
MOVE_PAST = (
    "UPDATE jobs SET done_at = done_at + ? WHERE state = 'done' AND done_at <= ?",
    "UPDATE gauges SET at = at + ? WHERE at <= ?",
)
# Locks without an end keep none.
MOVE_FUTURE = (
    "UPDATE locks SET until = until + ? WHERE until < 1e11",
    "UPDATE results SET expires_at = expires_at + ?",
    "UPDATE gauges SET opens_at = opens_at + ? WHERE opens_at > 0",
    "UPDATE rollouts SET next_at = next_at + ? WHERE next_at IS NOT NULL",
)
