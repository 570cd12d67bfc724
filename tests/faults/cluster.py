"""python -m tests.faults.cluster: kill each node of a cluster of three brokers, and schedulers.

On RabbitMQ and NATS, as far as they are installed; --broker names one. Ends with 1 if a job was
lost, ran twice without a known cause, or a dispatch took longer than its timeout.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.foreign import Foreign
from tests.cluster.nodes import INSTALLED
from tests.cluster.postgres import is_there
from tests.faults.nodes import Outcome, run

_MINUTES = 6
"""A run on one broker ends by then, whatever happens."""


def table(outcomes: list[Outcome], arguments: str = "") -> str:
    """As Markdown, for docs/scaling.md."""
    lines = [
        f"`python -m tests.faults.cluster{arguments}`, {time.strftime('%Y-%m-%d', time.gmtime())}, "
        f"{platform.machine()}, Python {platform.python_version()}",
        "",
        f"| three nodes | {' | '.join(outcome.broker for outcome in outcomes)} |",
        "|---|" + "---|" * len(outcomes),
    ]

    def row(name: str, *cells: object) -> None:
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")

    row("longest gap between two acknowledged durable dispatches:", *("" for _ in outcomes))
    for number, gap in enumerate(outcomes[0].gaps):
        row(f"- {gap.fault}", *(f"{outcome.gaps[number].seconds:.2f} s" for outcome in outcomes))
    row("longest dispatch", *(f"{outcome.longest_call:.2f} s" for outcome in outcomes))
    row("dispatches that returned", *(len(outcome.verdict.sent) for outcome in outcomes))
    row("**lost**", *(f"**{len(outcome.verdict.lost)}**" for outcome in outcomes))
    row("ran more than once", *(len(outcome.verdict.doubled) for outcome in outcomes))
    for cause in sorted({cause for outcome in outcomes for cause in outcome.verdict.causes}):
        row(f"- {cause}", *(outcome.verdict.causes[cause] for outcome in outcomes))
    return "\n".join(lines)


async def _within(broker: Foreign, folder: Path, *, short: bool, postgres: bool) -> Outcome:
    """One run; SIGTERM ends it as Ctrl+C does, with everything that it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    tell = functools.partial(print, f"{broker}:", file=sys.stderr)
    async with asyncio.timeout(_MINUTES * 60):
        return await run(broker, folder, tell, short=short, postgres=postgres)


def main() -> int:
    """Run, print, and say whether it held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cluster", description=__doc__)
    parser.add_argument("--broker", choices=[*INSTALLED], help="default: each one")
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--short", action="store_true", help="one node and one scheduler")
    parser.add_argument("--keep", type=Path, help="folder for ledgers, databases and logs")
    options = parser.parse_args()
    if options.db == "postgres" and not is_there():
        print("PostgreSQL is not installed: nothing is run", file=sys.stderr)
        return 0
    keep = options.keep or Path(tempfile.mkdtemp(prefix="routeq-cluster-"))
    outcomes = []
    for broker, where in INSTALLED.items():
        if options.broker not in {None, broker}:
            continue
        if where() is None:
            print(f"{broker} is not installed: left out", file=sys.stderr)
            continue
        folder = keep / broker
        folder.mkdir(parents=True)
        postgres = options.db == "postgres"
        run_one = _within(broker, folder, short=options.short, postgres=postgres)
        outcomes.append(asyncio.run(run_one))
    if not outcomes:
        return 0
    print(table(outcomes, " --db postgres" * (options.db == "postgres")))
    bad = [one for one in outcomes if one.verdict.lost or one.verdict.unexplained or one.hung]
    for one in bad:
        print(
            f"\n{one.broker}: lost={sorted(one.verdict.lost)[:20]} "
            f"unexplained={sorted(one.verdict.unexplained)[:20]} "
            f"longest dispatch={one.longest_call:.1f} s; see {keep / one.broker}",
            file=sys.stderr,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
