"""A bus that faults are done to: a bed, a ledger, and what runs on them."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from pathlib import Path

from routeq_mqtt import Bus
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.faults import ledger as ledgers
from tests.faults.jobs import Poison, Work
from tests.faults.ledger import Ledger, Line
from tests.faults.verdict import FORGETFUL, GAVE_UP, JOURNALED, Verdict, judge

_LOOK_EVERY = 0.05


class Site:
    """A bus under faults: its processes and the ledger of its jobs."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ledger = Ledger(cluster.folder / "ledger.jsonl")
        self.workers: list[Process] = []
        self.producers: list[Process] = []
        self.scheduler: Process | None = None

    @property
    def env(self) -> dict[str, str]:
        return self.cluster.env | {ledgers.VARIABLE: str(self.ledger.path)}

    # -- starting ------------------------------------------------------------------------------

    async def start_scheduler(self, *flags: str, **env: str) -> Process:
        self.scheduler = await self.cluster.scheduler(*flags, **env)
        return self.scheduler

    async def start_scheduler_soon(self) -> Process:
        """One that may have to wait for its broker."""
        self.scheduler = await Process.cli(
            "scheduler", "scheduler", "--db", str(self.cluster.db), env=self.env
        )
        self.cluster.processes.append(self.scheduler)
        return self.scheduler

    async def start_dying_scheduler(self, step: str, times: int = 1) -> Process:
        """One that kills itself when it comes to a step for the nth time."""
        process = await self.cluster.dying_scheduler(f"{step};{times}", **self.env)
        self.scheduler = process
        return process

    async def start_worker(
        self, *flags: str, queues: str = "default", url: str | None = None, online: bool = True
    ) -> Process:
        env = self.env if url is None else self.env | {"ROUTEQ_URL": url}
        process = await Process.cli(
            "worker", "worker", "--queue", queues, "--app", "tests.faults.jobs",
            "--max-deliveries", "1000", *flags, env=env,
        )  # fmt: skip
        self.cluster.processes.append(process)
        self.workers.append(process)
        if online:
            await process.says("online")
        return process

    async def start_producer(self, name: str, *flags: str, **env: str) -> Process:
        process = await Process.start(
            f"producer {name}", sys.executable, "-m", "tests.faults.producer", "--name", name,
            *flags, env=self.env | {"ROUTEQ_TIMEOUT": "60"} | env,
        )  # fmt: skip
        self.cluster.processes.append(process)
        self.producers.append(process)
        return process

    async def end_producers(self) -> None:
        """Each finishes the dispatch that it is in."""
        for producer in self.producers:
            producer.send(signal.SIGTERM)
        for producer in self.producers:
            # One that has hardly started has no handler yet, and has promised nothing.
            assert await producer.ended() in {0, -signal.SIGTERM}, producer.output
        self.producers.clear()

    @property
    def db(self) -> Path:
        return self.cluster.folder / "routeq.db"

    async def send(self, bus: Bus, job: Work | Poison) -> None:
        """Dispatch a job, and write down what was promised."""
        self.ledger.note("sending", key=job.key, confirm="broker")
        sent = await bus.dispatch(job)
        self.ledger.note("sent", key=job.key, id=sent.id, confirm="broker", cut=False)

    # -- faults --------------------------------------------------------------------------------

    def fault(self, kind: str, *victims: Process, lasts: float = 0.0) -> None:
        self.ledger.note("fault", kind=kind, victims=[one.pid for one in victims], lasts=lasts)

    async def kill_worker(self, worker: Process) -> None:
        self.workers.remove(worker)
        worker.send(signal.SIGKILL)
        self.fault("worker kill -9", worker)
        await worker.ended()

    async def stop_worker(self, worker: Process) -> None:
        """SIGTERM, and wait: no fault that could double anything but what it says it gave up on."""
        self.workers.remove(worker)
        self.fault("worker SIGTERM")
        # One that has hardly started has no handler yet, and holds nothing.
        code = await worker.stop()
        given_up = re.findall(r"gave up on an outcome, the job runs again id=(\S+)", worker.output)
        assert code in ({1} if given_up else {0, -signal.SIGTERM}), worker.output
        if given_up:
            self.ledger.note("fault", kind=GAVE_UP, victims=[worker.pid], jobs=given_up)

    async def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        self.fault("scheduler kill -9")
        await self.scheduler.kill()

    async def stop_broker(self, number: signal.Signals = signal.SIGTERM) -> None:
        if number is signal.SIGTERM:
            self.fault("broker SIGTERM")
        else:
            self.fault(self._killed)
        await self.cluster.stop_broker(number)

    @property
    def _killed(self) -> str:
        return JOURNALED if self.cluster.keeps_acknowledged else FORGETFUL

    async def power_cut(self) -> None:
        """Everything at once, kill -9."""
        assert self.scheduler is not None
        dying = [*self.cluster.brokers, self.scheduler, *self.workers, *self.producers]
        for process in dying:
            process.send(signal.SIGKILL)
        self.fault(self._killed)
        self.fault("worker kill -9 with everything else", *self.workers)
        for process in dying:
            await process.ended()
        self.workers.clear()
        self.producers.clear()

    def keep_logs(self) -> None:
        """What every process said, beside the ledger."""
        for number, process in enumerate([*self.cluster.processes, *self.cluster.brokers]):
            path = self.cluster.folder / f"{number}-{process.name.replace(' ', '-')}.log"
            path.write_text(process.output)

    # -- reading -------------------------------------------------------------------------------

    def count(self, event: str) -> int:
        return sum(line["event"] == event for line in self.ledger.lines())

    def events(self, event: str) -> list[Line]:
        return [line for line in self.ledger.lines() if line["event"] == event]

    async def until(self, event: str, number: int, within: float = 60.0) -> None:
        """Wait for so many lines of an event; each look at the file is one look at the world."""
        ends = time.monotonic() + within
        while self.count(event) < number:
            assert time.monotonic() < ends, f"{self.count(event)} of {number} x {event}"
            await asyncio.sleep(_LOOK_EVERY)

    async def settled(self, within: float = 60.0) -> Verdict:
        """Wait until everything that was promised has an outcome; then judge.

        Gives up when nothing new was written for `within` seconds: then something is lost.
        """
        last, since = -1, time.monotonic()
        while True:
            verdict = judge(self.ledger.lines())
            if not verdict.lost and verdict.sent:
                return verdict
            if len(self.ledger.lines()) != last:
                last, since = len(self.ledger.lines()), time.monotonic()
            if time.monotonic() - since > within:
                return verdict
            await asyncio.sleep(0.2)
