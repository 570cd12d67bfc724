"""Statements of a scheduler that leaves, named.

The jobs of a chain or a batch are no use without one another, nor without the batch's counters:
they stay together, where they are.
"""

from __future__ import annotations

from routeq_mqtt.scheduler.store.sql.jobs import COLUMNS

_ALONE = "chain IS NULL AND batch IS NULL"

PARKED = f"""
SELECT {COLUMNS} FROM jobs WHERE state = 'parked' AND {_ALONE} ORDER BY queue, seq LIMIT ?
"""
LIMITED = f"""
SELECT {COLUMNS} FROM jobs WHERE state = 'limited' AND {_ALONE} ORDER BY lane, seq LIMIT ?
"""
DELAYED = f"""
SELECT {COLUMNS} FROM jobs WHERE state = 'delayed' AND {_ALONE} ORDER BY run_at, seq LIMIT ?
"""
FAILED_IDS = f"""
SELECT id FROM failed
WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = failed.id AND NOT ({_ALONE}))
ORDER BY failed_at, id
"""
STAYING = f"SELECT count(*) FROM jobs WHERE state <> 'done' AND NOT ({_ALONE})"

FORGET_LOCKS = "DELETE FROM locks WHERE job = ?"
FORGET_SLOTS = "DELETE FROM slots WHERE job = ?"
