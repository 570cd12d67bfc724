"""The benchmark's own parts: a wrong figure would be worse than none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from routeq_mqtt.bench.results import Table, percentile
from tests.cluster.recorder import TIMEOUT

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


def test_a_row_keeps_every_run_and_says_the_median() -> None:
    table = Table("routeq-mqtt")
    for value in (3.0, 1.0, 2.0):
        table.add("bulk", "jobs/s", value)
    table.add("latency p50", "ms", 0.5)
    row = table.rows[0]
    assert row.as_dict() == {
        "system": "routeq-mqtt",
        "scenario": "bulk",
        "unit": "jobs/s",
        "runs": [3.0, 1.0, 2.0],
    }
    assert row.median == 2.0
    assert len(table.rows) == 2


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 51.0), (99, 100.0), (100, 100.0)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value


def test_the_tally_needs_no_library() -> None:
    from routeq_mqtt.bench import tally, workload
    from tests.test_floors import STANDARD, imported

    for module in (tally, workload):
        assert imported(Path(str(module.__file__))) <= STANDARD | {"__future__"}


async def test_a_user_measures_the_own_bus(cluster: Cluster) -> None:
    code, output = await cluster.cli("bench", "latency", "--json")
    assert code == 0, output
    rows = json.loads(output[output.index("[") :])
    assert [row["scenario"] for row in rows] == ["latency p50", "latency p99"]
    assert all(0 < row["runs"][0] < 1_000 for row in rows)


async def test_what_needs_a_scheduler_is_left_out_without_one(cluster: Cluster) -> None:
    async with asyncio.timeout(TIMEOUT):
        code, output = await cluster.cli("bench", "durable", "--json")
    assert code == 0, output
    assert "left out: durable" in output


async def test_an_unknown_scenario_is_named(cluster: Cluster) -> None:
    code, output = await cluster.cli("bench", "fastest")
    assert code == 4
    assert "'fastest'" in output
    assert "latency" in output
