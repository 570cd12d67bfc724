"""The rows as a table and plots, between two markers in docs/performance.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.arena import ROOT, VENVS
from benchmarks.peers.ours import SYSTEM

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"

SCENARIOS = (
    "bulk",
    "one by one",
    "drain, 1 worker process",
    "drain, 2 worker processes",
    "both at once",
    "latency at 50/s, p50",
    "latency at 50/s, p99",
    "delayed, late by, p50",
    "delayed, late by, p99",
)

Rows = list[dict[str, Any]]


def write(rows: Rows, machine: dict[str, str]) -> None:
    """Table and plots."""
    text = "\n".join([BEGIN, "", *_machine(machine), *_tables(rows), *_notes(rows), END])
    page = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    if BEGIN not in page:
        page += f"\n## Beside other job queues\n\n{BEGIN}\n{END}\n"
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(head + text + rest.partition(END)[2])
    _plot(rows)
    print(f"wrote {PAGE.relative_to(ROOT)}")


def _machine(machine: dict[str, str]) -> list[str]:
    named = ", ".join(f"{name} {value}" for name, value in machine.items())
    return [f"Measured on: {named}.", ""]


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f}" if unit == "jobs/s" or abs(value) >= 100 else f"{value:,.2f}"


def _tables(rows: Rows) -> list[str]:
    lines = []
    for scenario in SCENARIOS:
        of = [row for row in rows if row["scenario"] == scenario]
        if not of:
            continue
        unit = of[0]["unit"]
        best_first = sorted(of, key=lambda row: median(row["runs"]), reverse=unit == "jobs/s")
        lines += [f"**{scenario}** ({unit})", "", "| | median | min | max | runs |"]
        lines += ["|---|---:|---:|---:|---:|"]
        for row in best_first:
            runs = row["runs"]
            name = f"**{row['system']}**" if row["system"] == SYSTEM else row["system"]
            figures = [_figure(one, unit) for one in (median(runs), min(runs), max(runs))]
            lines.append(f"| {name} | {' | '.join(figures)} | {len(runs)} |")
        lines += ["", f"![{scenario}](plots/{_file(scenario)})", ""]
    return lines


def _notes(rows: Rows) -> list[str]:
    lines = ["| system | versions | settings |", "|---|---|---|"]
    seen = set()
    for row in rows:
        if row["system"] not in seen and "versions" in row:
            seen.add(row["system"])
            versions = ", ".join(f"{name} {one}" for name, one in row["versions"].items())
            lines.append(f"| {row['system']} | {versions} | {row['note']} |")
    return [*lines, ""]


def _file(scenario: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in scenario).replace("--", "-") + ".png"


def _plot(rows: Rows) -> None:
    """Plot in a separate virtual environment: nothing else needs matplotlib."""
    home = VENVS / "plot"
    if not (home / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin/pip"), "install", "--quiet", "matplotlib"], check=True)
        (home / ".ready").touch()
    PLOTS.mkdir(parents=True, exist_ok=True)
    plots = {
        str(PLOTS / _file(scenario)): [row for row in rows if row["scenario"] == scenario]
        for scenario in SCENARIOS
    }
    command = [str(home / "bin/python"), str(Path(__file__).with_name("plot.py")), SYSTEM]
    wanted = {file: of for file, of in plots.items() if of}
    subprocess.run(command, check=True, input=json.dumps(wanted), text=True)
