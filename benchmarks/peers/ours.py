"""Our own rows next to the peers': the scenarios of `python -m benchmarks`, under common names."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from benchmarks.__main__ import measure
from routeq_mqtt.bench.workload import FULL

SYSTEM = "routeq-mqtt (mosquitto)"

_SCENARIOS = ["dispatch", "bulk", "drain", "drain2", "both", "latency", "delayed"]

_NAMES = {
    "bulk": "bulk",
    "dispatch one by one": "one by one",
    "drain, 1 process": "drain, 1 worker process",
    "drain, 2 processes": "drain, 2 worker processes",
    "both at once": "both at once",
    "latency p50": "latency at 50/s, p50",
    "latency p99": "latency at 50/s, p99",
    "delayed p50": "delayed, late by, p50",
    "delayed p99": "delayed, late by, p99",
}

_LOAD = replace(
    FULL,
    one_by_one=2_000,
    bulk=20_000,
    backlog=20_000,
    at_once=20_000,
    latency_seconds=2.0,
    waiting=0,
    due=100,
)
"""The peers' sizes; larger where our run would finish in a tenth of a second."""


def rows(runs: int) -> list[dict[str, Any]]:
    """Run each scenario `runs` times, with a scheduler and the shipped configuration."""
    found = []
    for row in asyncio.run(measure(_SCENARIOS, "mosquitto", runs, _LOAD)):
        name = next((new for old, new in _NAMES.items() if row.scenario.startswith(old)), None)
        if name is not None and row.unit in {"jobs/s", "ms"}:
            found.append({"system": SYSTEM, "scenario": name, "unit": row.unit, "runs": row.runs})
    return found
