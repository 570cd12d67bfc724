"""Measure the peers: `python -m benchmarks.peers`; finished rows are kept, so it can be resumed.

python -m benchmarks.peers                all that is missing, and ours, then the report
python -m benchmarks.peers run rq speed   one of them
python -m benchmarks.peers ours           our own rows, by the same names
python -m benchmarks.peers report         only the report
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

from benchmarks.machine import machine
from benchmarks.peers import arena as places
from benchmarks.peers import ours, report
from benchmarks.peers.peers import PEERS, Peer, Settings
from benchmarks.peers.workloads import play

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
RESULTS = Path(__file__).parent / ".results.json"


def load() -> list[dict[str, Any]]:
    """The rows measured so far."""
    return list(json.loads(RESULTS.read_text())) if RESULTS.exists() else []


def keep(system: str, rows: list[dict[str, Any]]) -> None:
    """Save rows, replacing older ones of the same system."""
    kept = [row for row in load() if row["system"] != system]
    RESULTS.write_text(json.dumps(kept + rows, indent=1))
    for row in rows:
        print(system, row["scenario"], [round(run, 2) for run in row["runs"]], flush=True)


def measure(peer: Peer, settings: Settings) -> None:
    """Measure one peer with one of its settings."""
    places.install(peer)
    with places.redis() as port, tempfile.TemporaryDirectory() as folder:
        arena = places.Arena(peer, settings, port, Path(folder))
        figures = play(arena, peer.backlog[settings], RUNS, drains_only=settings == "safety")
    system = f"{peer.name} ({settings})" if peer.safety else peer.name
    extra = {"versions": places.versions(peer), "note": peer.note}
    keep(
        system,
        [
            {"system": system, "scenario": name, "unit": unit, "runs": runs, **extra}
            for (name, unit), runs in figures.items()
        ],
    )


def main() -> None:
    """Run what the arguments name, then write the report."""
    match sys.argv[1:]:
        case ["run", name, ("speed" | "safety") as settings]:
            measure(next(peer for peer in PEERS if peer.name == name), settings)
        case ["ours"]:
            keep(ours.SYSTEM, ours.rows(RUNS))
        case ["report"]:
            report.write(load(), machine())
        case []:
            _all()
        case _:
            sys.exit(__doc__)


def _all() -> None:
    """Run each in its own process, through the command BENCH_ALONE on a shared machine."""
    wanted = [
        ("run", peer.name, settings)
        for settings in get_args(Settings)
        for peer in PEERS
        if settings == "speed" or peer.safety
    ]
    for arguments in [*wanted, ("ours",)]:
        _, *which = arguments
        system = f"{which[0]} ({which[1]})" if which else ours.SYSTEM
        if {system, which[0] if which else ""} & {row["system"] for row in load()}:
            continue
        command = [*shlex.split(os.environ.get("BENCH_ALONE", "")), sys.executable]
        ended = subprocess.run([*command, "-m", "benchmarks.peers", *arguments], check=False)
        if ended.returncode:
            print(f"{' '.join(arguments)}: not measured", file=sys.stderr)
    report.write(load(), machine())


if __name__ == "__main__":
    main()
