"""Outbox chaos: producers killed, links cut, files deleted; nothing lost, nothing doubled.

``python -m tests.edge.chaos --jobs 10000 --seed 7``; `make test` runs as many on mosquitto, and
fewer on the embedded broker.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from routeq_mqtt import Bus, OutboxOptions
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.cluster.proxy import Proxy
from tests.cluster.recorder import Recorder

PRODUCERS = 3
CHUNK = 20
"""Jobs that a producer dispatches at once."""

LIFE = 20
"""Chunks after which a producer is killed at the latest."""


class Chaos:
    """One run on a bed whose scheduler and workers are up.

    Args:
        bed: where.
        jobs: to dispatch, by all producers together.
        seed: of the dice.
        disk: the folder of the outbox; default: that of the cluster.
    """

    def __init__(self, cluster: Cluster, jobs: int, seed: int, disk: Path | None = None) -> None:
        self.accepted: set[str] = set()
        self.kills = 0
        self.cuts: Counter[str] = Counter()
        self._bed = cluster
        self._jobs = jobs
        self._dice = random.Random(seed)  # noqa: S311 - not a secret
        self._proxy = Proxy(cluster.port)
        self._file = (disk or cluster.folder) / "outbox.db"

    async def run(self, patience: float) -> None:
        """Run until every accepted job has run; raises where one is lost or doubled.

        Args:
            patience: seconds until jobs that did not come count as lost.
        """
        await self._proxy.start()
        self._keeper = await self._start("keeper", "forward")
        await self._keeper.says("forwards")
        cutting = asyncio.create_task(self._cut())
        try:
            share = -(-self._jobs // PRODUCERS)
            async with asyncio.TaskGroup() as producers:
                for number in range(PRODUCERS):
                    producers.create_task(self._produce(number, share))
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
            await self._noticed()
            await self._keeper.kill()
            await self._proxy.stop()
        await self._flush(patience)
        await self._until_all_ran(patience)

    async def _cut(self) -> None:
        """Each kind of cut once, in any order, again and again."""
        ways = [self._reset, self._refuse, self._stall, self._delete]
        while True:
            for way in self._dice.sample(ways, len(ways)):
                await asyncio.sleep(self._dice.uniform(0.02, 0.15))
                await way()

    async def _delete(self) -> None:
        """The file, its log and its lock go; one process that is not killed had it open."""
        for file in sorted(self._file.parent.glob(f"{self._file.name}*")):
            file.unlink(missing_ok=True)
        self.cuts["deleted"] += 1
        await self._noticed()

    async def _noticed(self) -> None:
        if self.cuts["deleted"]:
            await self._keeper.says("deleted or replaced", times=self.cuts["deleted"])

    async def _start(self, name: str, *arguments: str) -> Process:
        """A producer, in the folder of the outbox, which it names relatively."""
        process = await Process.start(
            name,
            sys.executable,
            "-m",
            "tests.edge.programs.outbox",
            *arguments,
            env=self._bed.env
            | {
                "ROUTEQ_URL": f"mqtt://127.0.0.1:{self._proxy.port}",
                "ROUTEQ_OUTBOX": self._file.name,
            },
            folder=self._file.parent,
        )
        self._bed.processes.append(process)
        return process

    async def _reset(self) -> None:
        self._proxy.cut()
        self.cuts["reset"] += 1

    async def _refuse(self) -> None:
        """Reset, and nobody gets through for a while."""
        self._proxy.cut(refuse=True)
        self.cuts["refused"] += 1
        await asyncio.sleep(self._dice.uniform(0.05, 0.5))
        self._proxy.heal()

    async def _stall(self) -> None:
        """Half-open: nothing passes; then all of it does, late, or the line is reset with it."""
        self._proxy.block()
        self.cuts["half-open"] += 1
        await asyncio.sleep(self._dice.uniform(0.05, 0.5))
        if self._dice.random() < 0.5:
            self._proxy.cut()
        self._proxy.heal()

    async def _produce(self, number: int, share: int) -> None:
        """One producer, begun again after each kill, until so many of its jobs were accepted.

        What a killed one had begun and not finished may be in the file or not: those keys are not
        given again, and count as accepted only where `dispatch` returned.
        """
        accepted = begun = 0
        while accepted < share:
            process = await self._start(
                f"producer-{number}",
                "count",
                f"{number}:",
                str(begun),
                str(share - accepted),
                str(CHUNK),
            )
            chunks = (share - accepted) // CHUNK
            killing = asyncio.create_task(self._kill(process, chunks))
            await process.ended()
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            said = [line.partition(" ") for line in process.lines]
            kept = [key for word, _, rest in said if word == "kept" for key in json.loads(rest)]
            self.accepted.update(kept)
            accepted += len(kept)
            begun = max([begun, *(int(rest) for word, _, rest in said if word == "next")])

    async def _kill(self, process: Process, chunks: int) -> None:
        """Kill it somewhere in the first half of what it is to do; the last one may finish."""
        if chunks > 2:
            after = self._dice.randrange(1, min(chunks // 2, LIFE) + 1)
            await process.says("kept", times=after)
            self.kills += process.running
            process.send(signal.SIGKILL)

    async def _flush(self, patience: float) -> None:
        outbox = OutboxOptions(path=self._file, linger=0.0)
        async with Bus(settings=Settings(url=self._bed.url), outbox=outbox) as bus:
            assert bus.outgoing is not None
            await bus.outgoing.outbox.bring_back()
            await bus.outgoing.flush(patience)
            left = await bus.outgoing.outbox.status()
        assert (left.jobs, left.aside_jobs) == (0, 0), left

    async def _until_all_ran(self, patience: float) -> None:
        recorder = self._bed.recorder
        accepted = self.accepted
        with contextlib.suppress(AssertionError):  # what is lost is named below
            await recorder.wait(
                lambda: len(recorder.events) >= len(accepted) and accepted <= set(recorder.ran()),
                timeout=patience,
            )
        ran = recorder.ran()
        lost = self.accepted - set(ran)
        ids = Counter(event["id"] for event in recorder.named("ran"))
        doubled = {key for key, times in ran.items() if times > 1}
        assert not lost, f"lost {len(lost)} of {len(self.accepted)}: {sorted(lost)[:10]}"
        assert not doubled, f"doubled {len(doubled)}: {sorted(doubled)[:10]}"
        assert set(ids.values()) == {1}


async def main(jobs: int, seed: int, patience: float) -> None:
    """Run on a mosquitto and print what happened; raises where a job is lost or doubled."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster("mosquitto", Path(folder), recorder)
        await cluster.start_broker()
        try:
            await cluster.scheduler()
            await cluster.worker("default", "--concurrency", "20", "--no-events")
            chaos = Chaos(cluster, jobs, seed)
            await chaos.run(patience)
        finally:
            await cluster.close()
            await recorder.stop()
    print(
        f"accepted {len(chaos.accepted)} jobs; {chaos.kills} kills; {chaos.cuts.total()} cuts "
        f"({', '.join(f'{times} {kind}' for kind, times in sorted(chaos.cuts.items()))}): "
        "lost 0, doubled 0"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds")
    given = parser.parse_args()
    asyncio.run(main(given.jobs, given.seed, given.patience))
