"""Measures this checkout on this machine, with a real broker, scheduler and workers.

``python -m benchmarks bulk drain --runs 5 --json``; without names: all scenarios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from benchmarks import keys, processes
from benchmarks.machine import machine
from routeq_mqtt.bench.results import Row, Table
from routeq_mqtt.bench.scenarios import SCENARIOS, Figures
from routeq_mqtt.bench.stage import Stage
from routeq_mqtt.bench.workload import FULL, Workload
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.topics import Sharing
from tests.cluster.cluster import KINDS, Cluster, Kind
from tests.cluster.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.cluster.process import Process

OWN = ("recovery", "idle", "backlog", "import", "memory", "keys")
LONG = ("idle", "backlog", "memory", "keys")
"""Scenarios that run once, since a run takes minutes."""


@contextlib.asynccontextmanager
async def bus_under_test(kind: Kind, sharing: Sharing) -> AsyncIterator[tuple[Settings, Process]]:
    """A broker with the shipped configuration and a scheduler; both stop at the end."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(kind, Path(folder), Recorder())
        cluster.extra_env["ROUTEQ_SHARING"] = sharing
        try:
            await cluster.start_broker()
            scheduler = await cluster.scheduler()
            yield Settings(url=cluster.url), scheduler
        finally:
            await cluster.close()


async def play(name: str, stage: Stage, scheduler: Process) -> Figures:
    """Run one scenario once."""
    if name == "idle":
        return await processes.idle(stage, scheduler)
    others = {
        "recovery": processes.recovery,
        "backlog": processes.small_and_big,
        "memory": processes.memory,
        "keys": keys.keys,
    }
    return await (SCENARIOS | others)[name](stage)


async def measure(
    names: list[str], kind: Kind, runs: int, load: Workload, sharing: Sharing = "auto"
) -> list[Row]:
    """Run all scenarios, each run on its own bus."""
    dealt = ", dealt by the scheduler" if sharing == "scheduler" else ""
    table = Table(f"routeq-mqtt ({kind}{dealt})")
    for name in names:
        if name == "import":
            for _ in range(runs):
                table.add("import of the client", "ms", processes.import_time())
            continue
        async with bus_under_test(kind, sharing) as (settings, scheduler):
            for number in range(1 if name in LONG else runs):
                async with Stage(settings, load) as stage:
                    figures = await play(name, stage, scheduler)
                for (scenario, unit), value in figures.items():
                    table.add(scenario, unit, value)
                print(f"{name} {number + 1}: {_short(figures)}", file=sys.stderr, flush=True)
    return table.rows


def _short(figures: Figures) -> str:
    return ", ".join(f"{name} {value:,.2f} {unit}" for (name, unit), value in figures.items())


def show(rows: list[Row]) -> None:
    """A plain table for the terminal."""
    print(f"{'scenario':44} {'unit':7} {'median':>10} {'min':>10} {'max':>10}  runs")
    for row in rows:
        figures = (row.median, min(row.runs), max(row.runs))
        columns = " ".join(f"{figure:>10,.{0 if figure > 1_000 else 2}f}" for figure in figures)
        print(f"{row.scenario:44} {row.unit:7} {columns}  {len(row.runs)}")


def show_markdown(rows: list[Row]) -> None:
    """The same as a table for `docs/performance.md`."""
    print("| scenario | unit | median | min | max | runs |\n|---|---|---|---|---|---|")
    for row in rows:
        figures = (row.median, min(row.runs), max(row.runs))
        columns = " | ".join(f"{figure:,.{0 if figure > 1_000 else 2}f}" for figure in figures)
        print(f"| {row.scenario} | {row.unit} | {columns} | {len(row.runs)} |")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join((*SCENARIOS, *OWN))}")
    parser.add_argument("--broker", choices=KINDS, default="mosquitto")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the jobs; default 1")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", action="store_true", help="print machine and rows as JSON")
    parser.add_argument(
        "--sharing", choices=get_args(Sharing), default="auto", help="of the scheduler"
    )
    told = parser.parse_args()
    names = told.scenarios or [*SCENARIOS, *OWN]
    for name in names:
        if name not in (*SCENARIOS, *OWN):
            parser.error(
                f"there is no scenario {name!r}; choose of {', '.join((*SCENARIOS, *OWN))}"
            )
    rows = asyncio.run(measure(names, told.broker, told.runs, _scaled(told.scale), told.sharing))
    if told.json:
        print(json.dumps({"machine": machine(), "rows": [row.as_dict() for row in rows]}, indent=2))
        return
    print("\n".join(f"{name}: {value}" for name, value in machine().items()), end="\n\n")
    (show_markdown if told.markdown else show)(rows)


def _scaled(scale: float) -> Workload:
    sizes = ("one_by_one", "concurrent", "bulk", "backlog", "at_once", "waiting", "due")
    return replace(FULL, **{size: int(getattr(FULL, size) * scale) for size in sizes})


if __name__ == "__main__":
    main()
