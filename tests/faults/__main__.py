"""python -m tests.faults --minutes 30 --seed 7: chaos on each broker, and what came of it.

--broker rabbitmq, --broker nats: on one that is no target by itself, where the scheduler deals.
--flapping 60: only a network that is cut once a second, so often.

Ends with 1 if a job was lost, or ran twice without one of the known causes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from tests.cluster.cluster import KINDS, Cluster, Kind, mosquitto
from tests.cluster.foreign import Foreign
from tests.cluster.nodes import INSTALLED, NodesCluster
from tests.cluster.recorder import Recorder
from tests.faults.chaos import Chaos
from tests.faults.flapping import flapping_minute
from tests.faults.site import Site
from tests.faults.verdict import Verdict, shown

_SETTLES_WITHIN = 60.0

Target = Kind | Foreign


class Result(NamedTuple):
    """One broker's run."""

    kind: Target
    minutes: float
    verdict: Verdict
    faults: Counter[str]
    steps: Counter[str]


def make_cluster(kind: Target, folder: Path, recorder: Recorder) -> Cluster:
    if kind == "rabbitmq" or kind == "nats":  # noqa: PLR1714 - narrows the type
        return NodesCluster(kind, folder, recorder)
    return Cluster(kind, folder, recorder)


@contextlib.asynccontextmanager
async def on_site(kind: Target, folder: Path) -> AsyncIterator[Site]:
    """A site with a broker that runs; the folder keeps ledger, databases and logs."""
    recorder = Recorder()
    await recorder.start()
    cluster = make_cluster(kind, folder, recorder)
    site = Site(cluster)
    try:
        await cluster.start_broker()
        yield site
    finally:
        site.keep_logs()
        await cluster.close()
        await recorder.stop()
        site.ledger.close()


async def flapping(kind: Target, cuts: int, folder: Path) -> tuple[Result, str]:
    """A network that is cut once a second on one broker; what came of it, and when work went on."""
    async with on_site(kind, folder) as site:
        back = await flapping_minute(site, cuts=cuts, every=1.0)
        verdict = await site.settled(_SETTLES_WITHIN)
    done = Counter(
        {"network cut": cuts, "- after which that worker started a job within a second": len(back)}
    )
    return Result(kind, cuts / 60, verdict, done, Counter()), shown(back)


async def run(kind: Target, minutes: float, seed: int, folder: Path) -> Result:
    """Chaos on one broker."""
    async with on_site(kind, folder) as site:
        chaos = Chaos(site, seed, lambda name: print(f"{kind}: {name}", file=sys.stderr))  # noqa: T201
        try:
            await chaos.run(minutes * 60)
            verdict = await site.settled(_SETTLES_WITHIN)
        finally:
            await chaos.close()
    kinds = Counter(line["kind"] for line in site.ledger.lines() if line["event"] == "fault")
    steps = Counter({name: n for name, n in kinds.items() if " at " in name})
    return Result(kind, minutes, verdict, chaos.done, steps)


def table(results: list[Result], arguments: str) -> str:
    """As Markdown, for docs/reliability.md."""
    heads = " | ".join(result.kind for result in results)
    lines = [
        f"`python -m tests.faults {arguments}`, "
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
    parser.add_argument("--flapping", type=int, metavar="CUTS", help="only that, once a second")
    parser.add_argument("--broker", choices=[*KINDS, *INSTALLED, "both"], default="both")
    parser.add_argument("--keep", type=Path, help="folder for ledgers, databases and logs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    kinds: list[Target] = [kind for kind in KINDS if options.broker in {kind, "both"}]
    kinds += [kind for kind in INSTALLED if options.broker == kind]
    where: dict[Target, Callable[[], str | None]] = {"mosquitto": mosquitto}
    where.update(INSTALLED.items())
    for kind in [kind for kind in kinds if kind in where and where[kind]() is None]:
        kinds.remove(kind)
        print(f"{kind} is not installed: left out", file=sys.stderr)  # noqa: T201
    keep = options.keep or Path(tempfile.mkdtemp(prefix="routeq-chaos-"))
    results = []
    back = []
    for kind in kinds:
        folder = keep / kind
        folder.mkdir(parents=True)
        if options.flapping:
            result, times = asyncio.run(flapping(kind, options.flapping, folder))
            back.append(times)
        else:
            result = asyncio.run(run(kind, options.minutes, options.seed, folder))
        results.append(result)
    if options.flapping:
        print(table(results, f"--flapping {options.flapping}"))  # noqa: T201
        print(f"| a cut to the next job that worker started | {' | '.join(back)} |")  # noqa: T201
    else:
        print(table(results, f"--minutes {options.minutes:g} --seed {options.seed}"))  # noqa: T201
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
