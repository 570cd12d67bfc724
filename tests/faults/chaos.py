"""A seeded mixture of every fault, one after the other, under a load that never stops."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.cluster.process import Process
from tests.cluster.proxy import Proxy
from tests.faults.scheduler import STEPS
from tests.faults.site import Site

WORKERS = 3
_LOAD = (
    ("plain", ("--rate", "40", "--seconds", "0.3")),
    ("stored", ("--rate", "40", "--seconds", "0.3", "--confirm", "stored")),
    ("later", ("--rate", "20", "--delayed", "0.6", "--failing", "0.3", "--confirm", "stored")),
)


class Chaos:
    """Does things to a site until its time is over.

    Args:
        site: with a broker that runs.
        seed: of the order and the length of everything.
        tell: called with each fault, for whoever watches.
    """

    def __init__(self, site: Site, seed: int, tell: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self._site = site
        self._seed = seed
        self._choose = random.Random(seed)  # noqa: S311 - a mixture that repeats
        self._tell = tell
        self._proxy = Proxy(site.cluster.port)
        self._proxied: Process | None = None
        self._armed: Process | None = None
        self._generation = 0
        self._faults: tuple[tuple[str, int, Callable[[], Awaitable[None]]], ...] = (
            ("worker kill -9", 8, self._kill_worker),
            ("worker SIGTERM", 3, self._restart_worker),
            ("worker SIGSTOP", 1, self._stop_worker),
            ("scheduler kill -9", 3, self._kill_scheduler),
            ("scheduler kill -9 at a step", 5, self._kill_scheduler_at_a_step),
            ("broker SIGTERM", 2, self._restart_broker),
            ("broker kill -9", 2, self._kill_broker),
            ("network cut", 2, self._cut_network),
            ("network half-open", 1, self._block_network),
            ("disk full", 2, self._fill_disk),
            ("power cut", 1, self._cut_power),
        )

    async def run(self, seconds: float) -> None:
        """Faults until so many seconds are over; then everything is mended."""
        await self._proxy.start()
        await self._site.start_scheduler()
        await self._fill_up()
        await self._produce()
        ends = time.monotonic() + seconds
        names = [name for name, weight, _ in self._faults for _ in range(weight)]
        actions = {name: action for name, _, action in self._faults}
        while time.monotonic() < ends:
            name = self._choose.choice(names)
            self._tell(name)
            await actions[name]()
            self.done[name] += 1
            await self._mend()
            await asyncio.sleep(self._choose.uniform(0.5, 3.0))
        await self._disarm()
        await self._site.end_producers()

    async def close(self) -> None:
        """The proxy ends."""
        await self._proxy.stop()

    # -- keeping it alive ----------------------------------------------------------------------

    async def _fill_up(self) -> None:
        """As many workers as there should be; one of them behind the proxy."""
        for _ in range(len(self._site.workers), WORKERS):
            url = None if self._proxied in self._site.workers else self._proxy.url
            worker = await self._site.start_worker("--concurrency", "10", url=url, online=False)
            if url is not None:
                self._proxied = worker

    async def _produce(self) -> None:
        self._generation += 1
        for number, (name, flags) in enumerate(_LOAD):
            seed = str(self._seed * 1000 + self._generation * 10 + number)
            await self._site.start_producer(f"{name}-{self._generation}", "--seed", seed, *flags)

    async def _mend(self) -> None:
        assert self._site.scheduler is not None
        if not self._site.scheduler.running:
            await self._site.start_scheduler_soon()
        await self._fill_up()

    async def _disarm(self) -> None:
        """A scheduler whose step has not come yet would die of it when no fault is repaired."""
        if self._armed is not None and self._armed is self._site.scheduler:
            await self._site.kill_scheduler()
        await self._mend()

    # -- faults --------------------------------------------------------------------------------

    async def _kill_worker(self) -> None:
        await self._site.kill_worker(self._choose.choice(self._site.workers))

    async def _restart_worker(self) -> None:
        worker = self._choose.choice(self._site.workers)
        await self._fill_up()
        await self._site.stop_worker(worker)

    async def _stop_worker(self) -> None:
        worker = self._choose.choice(self._site.workers)
        seconds = self._choose.uniform(1.0, 14.0)
        worker.send(signal.SIGSTOP)
        self._site.fault("worker SIGSTOP", worker, lasts=seconds + 2.0)
        await asyncio.sleep(seconds)
        worker.send(signal.SIGCONT)

    async def _kill_scheduler(self) -> None:
        await self._site.kill_scheduler()
        await asyncio.sleep(self._choose.uniform(0.0, 3.0))

    async def _kill_scheduler_at_a_step(self) -> None:
        await self._site.kill_scheduler()
        step = self._choose.choice(STEPS)
        times = self._choose.randint(1, 5)
        self._armed = dying = await self._site.start_dying_scheduler(step, times)
        if step.startswith("adopting"):
            await self._kill_worker()
        ended = asyncio.create_task(dying.ended())
        await asyncio.wait({ended}, timeout=8.0)  # the step may not come: then it goes on as it is
        ended.cancel()
        if not dying.running:
            self._site.fault(f"scheduler kill -9 at {step}")

    async def _restart_broker(self) -> None:
        await self._site.stop_broker()
        await asyncio.sleep(self._choose.uniform(0.0, 2.0))
        await self._site.cluster.start_broker()

    async def _kill_broker(self) -> None:
        await self._site.stop_broker(signal.SIGKILL)
        await asyncio.sleep(self._choose.uniform(0.0, 2.0))
        await self._site.cluster.start_broker()

    def _behind_proxy(self) -> None:
        assert self._proxied is not None
        self._site.fault("network", self._proxied, lasts=20.0)

    async def _cut_network(self) -> None:
        self._behind_proxy()
        for _ in range(self._choose.randint(1, 5)):
            self._proxy.cut(refuse=True)
            await asyncio.sleep(self._choose.uniform(0.1, 2.0))
            self._proxy.heal()
            await asyncio.sleep(self._choose.uniform(0.1, 1.0))

    async def _block_network(self) -> None:
        self._behind_proxy()
        self._proxy.block()
        await asyncio.sleep(self._choose.uniform(1.0, 12.0))
        self._proxy.heal()

    async def _fill_disk(self) -> None:
        scheduler = self._site.scheduler
        assert scheduler is not None
        _, hard = resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE, (4096, hard))
        self._site.fault("disk full")
        await asyncio.sleep(self._choose.uniform(0.5, 4.0))
        if scheduler.running:
            resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE, (hard, hard))

    async def _cut_power(self) -> None:
        await self._site.power_cut()
        order = ["broker", "scheduler", "workers", "producers"]
        self._choose.shuffle(order)
        for what in order:
            if what == "broker":
                await self._site.cluster.start_broker()
            elif what == "scheduler":
                await self._site.start_scheduler_soon()
            elif what == "workers":
                await self._fill_up()
            else:
                await self._produce()
