"""Runs jobs with retries, failures, killed workers and killed schedulers, then compares."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from routeq_mqtt.wire.observe.asks import MetricsText, StatsHistory
from routeq_mqtt.wire.observe.histogram import added
from tests.ledger.book import Book, Verdict
from tests.ledger.jobs import VARIABLE, Entered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt import Bus
    from tests.cluster.cluster import Cluster
    from tests.cluster.process import Process

OUTCOMES = ("done", "failed", "retried")
_BLOCK = 500
_WORKERS_DIE = (0.2, 0.5, 0.75)
_SCHEDULERS_DIE = (0.35, 0.65)

_SETTLES_WITHIN = 60.0


class Ledger:
    """One run.

    Args:
        cluster: its broker runs.
        jobs: how many.
        workers_die, schedulers_die: when, as shares of all jobs. One of the two workers that begin
            must outlive a short run: what a killed one has counted in its last seconds is lost.
    """

    def __init__(
        self,
        cluster: Cluster,
        jobs: int,
        *,
        workers_die: Sequence[float] = _WORKERS_DIE,
        schedulers_die: Sequence[float] = _SCHEDULERS_DIE,
    ) -> None:
        folder = cluster.folder / "ledger"
        folder.mkdir()
        cluster.extra_env[VARIABLE] = str(folder)
        self._cluster = cluster
        self._jobs = jobs
        self._faults = sorted(
            [(at, "worker") for at in workers_die] + [(at, "scheduler") for at in schedulers_die]
        )
        self._book = Book(folder)
        self._killed: dict[int, float] = {}
        self._workers: list[Process] = []

    async def run(self, bus: Bus) -> Verdict:
        """Everything, to the verdict."""
        scheduler = await self._cluster.scheduler()
        self._workers = [await self._worker() for _ in range(2)]
        sending = asyncio.create_task(self._send(bus))
        for share, victim in self._faults:
            await self._until(int(share * self._jobs))
            if victim == "worker":
                await self._replace()
            else:
                await scheduler.kill()
                scheduler = await self._cluster.scheduler()
        await sending
        await self._until(self._jobs)
        for worker in self._workers:  # with what they have counted until then
            await worker.stop()
        return await self._compare(bus)

    async def _worker(self) -> Process:
        flags = ("--app", "tests.ledger.jobs", "--concurrency", "20")
        return await self._cluster.worker("default", *flags)

    async def _replace(self) -> None:
        victim = self._workers.pop(0)
        await victim.kill()
        self._killed[victim.pid] = time.time()
        self._workers.append(await self._worker())

    async def _send(self, bus: Bus) -> None:
        """No faster than they run: else the waiting times are those of one long queue."""
        for first in range(0, self._jobs, _BLOCK):
            await self._until(first - 4 * _BLOCK)
            numbers = range(first, min(first + _BLOCK, self._jobs))
            await bus.bulk([self._job(number) for number in numbers])

    @staticmethod
    def _job(number: int) -> Entered:
        takes = number % 7 * 0.01 if number % 5 == 0 else 0.0
        fails = 3 if number % 50 == 0 else 1 if number % 10 == 1 else 0
        return Entered(number=number, sent=time.time(), takes=takes, fails=fails)

    async def _until(self, ended: int) -> None:
        while self._book.look() < ended:
            await asyncio.sleep(0.05)

    async def _compare(self, bus: Bus) -> Verdict:
        """The last reports and the last failed records may still be on their way."""
        ends = time.monotonic() + _SETTLES_WITHIN
        while (verdict := await self._look(bus)).problems and time.monotonic() < ends:
            await asyncio.sleep(0.1)
        return verdict

    async def _look(self, bus: Bus) -> Verdict:
        verdict = Verdict()
        history = await bus.requests.ask(StatsHistory(since=time.time() - 3600))
        points = [point for series in history.series for point in series.points]
        metrics = await self._metrics(bus)
        least, most = self._book.counts(self._killed)
        for outcome in OUTCOMES:
            counted = sum(getattr(point, outcome) for point in points)
            verdict.between(outcome, least[outcome], most[outcome], counted)
            verdict.between(f"Prometheus: {outcome}", counted, counted, metrics[outcome])
        attempts = sum(point.attempts for point in points)
        verdict.between("attempts", least.total(), most.total(), attempts)
        verdict.between("Prometheus: attempts", attempts, attempts, metrics["attempts"])
        run: list[int] = []
        wait: list[int] = []
        for point in points:
            run, wait = added(run, point.run), added(wait, point.wait)
        lines = self._book.lines
        verdict.near("run", [line.ran for line in lines], run)
        verdict.near("wait", [line.waited for line in lines if line.attempt == 1], wait)
        return verdict

    async def _metrics(self, bus: Bus) -> dict[str, float]:
        found = dict.fromkeys((*OUTCOMES, "attempts"), 0.0)
        text = await bus.requests.ask(MetricsText())
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "routeq_jobs_total" and sample.labels["outcome"] in found:
                    found[sample.labels["outcome"]] += sample.value
                elif sample.name == "routeq_attempts_total":
                    found["attempts"] += sample.value
        return found
