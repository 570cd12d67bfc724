"""python -m tests.faults --minutes 30 --seed 7: chaos on each broker, and what came of it.

Ends with 1 if a job was lost, or ran twice without one of the known causes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.bed.bed import KINDS, Bed, Kind, mosquitto
from tests.bed.recorder import Recorder
from tests.faults.chaos import Chaos
from tests.faults.site import Site
from tests.faults.verdict import Verdict, shown

_SETTLES_WITHIN = 60.0


class Result(NamedTuple):
    """One broker's run."""

    kind: Kind
    minutes: float
    verdict: Verdict
    faults: Counter[str]
    steps: Counter[str]


async def run(kind: Kind, minutes: float, seed: int, folder: Path) -> Result:
    """Chaos on one broker; the folder keeps ledger, databases and logs."""
    recorder = Recorder()
    await recorder.start()
    bed = Bed(kind, folder, recorder)
    site = Site(bed)
    chaos = Chaos(site, seed, lambda name: print(f"{kind}: {name}", file=sys.stderr))  # noqa: T201
    try:
        await bed.start_broker()
        await chaos.run(minutes * 60)
        verdict = await site.settled(_SETTLES_WITHIN)
    finally:
        site.keep_logs()
        await chaos.close()
        await bed.close()
        await recorder.stop()
        site.ledger.close()
    kinds = Counter(line["kind"] for line in site.ledger.lines() if line["event"] == "fault")
    steps = Counter({name: n for name, n in kinds.items() if " at " in name})
    return Result(kind, minutes, verdict, chaos.done, steps)


def table(results: list[Result], seed: int) -> str:
    """As Markdown, for docs/reliability.md."""
    heads = " | ".join(result.kind for result in results)
    lines = [
        f"`python -m tests.faults --minutes {results[0].minutes:g} --seed {seed}`, "
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.machine()}, "
        f"Python {platform.python_version()}",
        "",
        f"| | {heads} |",
        "|---|" + "---|" * len(results),
    ]

    def row(name: str, *cells: object) -> None:
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")

    row("minutes", *(f"{result.minutes:g}" for result in results))
    for name in sorted({name for result in results for name in result.faults}):
        row(name, *(result.faults[name] for result in results))
    row("dispatches that returned", *(len(result.verdict.sent) for result in results))
    row("**lost**", *(f"**{len(result.verdict.lost)}**" for result in results))
    row(
        "plain dispatches that a killed mosquitto forgot (not promised)",
        *(len(result.verdict.unpromised) for result in results),
    )
    row("ran more than once", *(len(result.verdict.doubled) for result in results))
    for cause in sorted({cause for result in results for cause in result.verdict.causes}):
        row(f"- {cause}", *(result.verdict.causes[cause] for result in results))
    row(
        "kill -9 of a worker to the next start of what it ran, nothing else being wrong",
        *(shown(result.verdict.recovery) for result in results),
    )
    row(
        "the same, with a scheduler or broker away, restarting or without a disk",
        *(shown(result.verdict.disturbed) for result in results),
    )
    return "\n".join(lines)


def main() -> int:
    """Run, print, and say whether it held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="on each broker")
    parser.add_argument("--seed", type=int, default=0, help="the same mixture again")
    parser.add_argument("--broker", choices=[*KINDS, "both"], default="both")
    parser.add_argument("--keep", type=Path, help="folder for ledgers, databases and logs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    kinds = [kind for kind in KINDS if options.broker in {kind, "both"}]
    if mosquitto() is None and "mosquitto" in kinds:
        kinds.remove("mosquitto")
        print("mosquitto is not installed: left out", file=sys.stderr)  # noqa: T201
    keep = options.keep or Path(tempfile.mkdtemp(prefix="routeq-chaos-"))
    results = []
    for kind in kinds:
        folder = keep / kind
        folder.mkdir(parents=True)
        results.append(asyncio.run(run(kind, options.minutes, options.seed, folder)))
    print(table(results, options.seed))  # noqa: T201
    bad = [r for r in results if r.verdict.lost or r.verdict.unexplained]
    for result in bad:
        print(  # noqa: T201
            f"\n{result.kind}: lost={sorted(result.verdict.lost)[:20]} "
            f"unexplained={sorted(result.verdict.unexplained)[:20]}; see {keep / result.kind}",
            file=sys.stderr,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
