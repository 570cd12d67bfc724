"""A cluster of three nodes under load, whose nodes and schedulers are killed one after the other.

Workers begin at node A, producers at B, schedulers at C; each of them has all addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl
from tests.cluster.foreign import Foreign
from tests.cluster.nodes import NodesCluster
from tests.cluster.postgres import Postgres
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder
from tests.faults.gaps import Gap, gaps, longest_call
from tests.faults.site import Site
from tests.faults.verdict import Verdict

A, B, C = range(3)
NAMES = "ABC"

TIMEOUT = 10.0
"""Seconds of a dispatch: the default. It ends by then, whatever dies."""

_GRACE = 2.0
"""Seconds that a busy machine may need for telling."""

_BETWEEN = 100
"""Acknowledged durable dispatches between two faults, at least."""

_FROZEN = 3.0
"""Seconds for which a scheduler is frozen."""

_AWAY = 1.0
"""Seconds for which the database is away."""

_USED = re.compile(r"the broker in use is mqtt://\S+:(\d+) now")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        gaps: of each fault, in order.
        longest_call: seconds of the longest dispatch; -1: one never ended.
    """

    broker: Foreign
    verdict: Verdict
    gaps: list[Gap]
    longest_call: float

    @property
    def hung(self) -> bool:
        """Whether a dispatch took longer than its timeout."""
        return not 0.0 <= self.longest_call <= TIMEOUT + _GRACE


class Nodes:
    """The faults, done to a site on three nodes.

    Args:
        site, cluster: where the broker runs.
        tell: called with each fault.
        server: of the scheduler's rows; None: they are in a file of SQLite.
    """

    def __init__(
        self,
        site: Site,
        cluster: NodesCluster,
        tell: Callable[[str], None],
        server: Postgres | None = None,
    ) -> None:
        self._site = site
        self._server = server
        self._cluster = cluster
        self._tell = tell
        self._standby: Process | None = None

    async def begin(self) -> None:
        """Start everything but the broker, which runs."""
        await self._site.start_scheduler("--standby", ROUTEQ_URL=self._cluster.url_from(C))
        await self._stand_by()
        for _ in range(2):
            await self._site.start_worker("--concurrency", "10", url=self._cluster.url_from(A))
        stored = ("--confirm", "stored", "--rate", "40", "--seconds", "0.05")
        loads = {
            "stored-1": stored,
            "stored-2": stored,
            "later": (*stored, "--delayed", "0.5", "--failing", "0.3"),
            "plain": ("--rate", "20", "--seconds", "0.2"),
        }
        for number, (name, flags) in enumerate(loads.items()):
            await self._site.start_producer(
                name, "--seed", str(number), *flags,
                ROUTEQ_URL=self._cluster.url_from(B), ROUTEQ_TIMEOUT=f"{TIMEOUT:g}",
            )  # fmt: skip
        await self.go_on()

    async def kill_node(self, at: int) -> None:
        """Kill -9 of a node; two are enough until it is back."""
        self._say(f"broker node {NAMES[at]} kill -9", *self._connected_to(at))
        await self._cluster.kill_node(at)
        await self.go_on()
        await self._cluster.start_node(at)
        await self.go_on()

    async def kill_leader(self) -> None:
        """Kill -9 of the leading scheduler; the standby takes over."""
        assert self._site.scheduler is not None
        self._say("scheduler kill -9")
        await self._site.scheduler.kill()
        await self._succeed()

    async def freeze_leader(self) -> None:
        """SIGSTOP of the leading scheduler for a while.

        It keeps the lock of its file, and goes on; with PostgreSQL its lease runs out, the standby
        takes over, and it leaves once it finds that out.
        """
        scheduler = self._site.scheduler
        assert scheduler is not None
        self._say(f"scheduler SIGSTOP, SIGCONT after {_FROZEN:g} s", lasts=_FROZEN)
        scheduler.send(signal.SIGSTOP)
        await asyncio.sleep(_FROZEN)
        scheduler.send(signal.SIGCONT)
        if self._server is None:
            await self.go_on()
        else:
            await scheduler.ended()
            await self._succeed()

    async def kill_database(self) -> None:
        """Kill -9 of all of the database; it is back after a while."""
        assert self._server is not None
        self._say(f"PostgreSQL kill -9, started after {_AWAY:g} s")
        self._server.kill()
        await asyncio.sleep(_AWAY)
        await asyncio.to_thread(self._server.start)
        await self.go_on()

    async def kill_frozen_leader(self) -> None:
        """SIGSTOP, and kill -9 after a while, as the watchdog of systemd does it."""
        scheduler = self._site.scheduler
        assert scheduler is not None
        self._say(f"scheduler SIGSTOP, kill -9 after {_FROZEN:g} s", lasts=_FROZEN)
        scheduler.send(signal.SIGSTOP)
        await asyncio.sleep(_FROZEN)
        await scheduler.kill()
        await self._succeed()

    async def go_on(self) -> None:
        """Wait until durable dispatches have been acknowledged again, and jobs have ended."""
        site = self._site
        acknowledged, ended = self._acknowledged(), site.count("end")
        async with asyncio.timeout(60):
            while self._acknowledged() < acknowledged + _BETWEEN:
                await asyncio.sleep(0.05)
        await site.until("end", ended + _BETWEEN)

    async def _succeed(self) -> None:
        assert self._standby is not None
        self._site.scheduler = self._standby
        await self._standby.says(" online")
        await self._stand_by()
        await self.go_on()

    async def _stand_by(self) -> None:
        self._standby = await self._cluster.standby_at(C)

    def _acknowledged(self) -> int:
        return sum(line["confirm"] == "stored" for line in self._site.events("sent"))

    def _connected_to(self, at: int) -> list[Process]:
        """The workers whose address in use is that of a node."""
        port = str(self._cluster.ports[at])
        found = []
        for worker in self._site.workers:
            used = _USED.findall(worker.output)
            if (used[-1] if used else str(self._cluster.ports[A])) == port:
                found.append(worker)
        return found

    def _say(self, kind: str, *victims: Process, lasts: float = 0.0) -> None:
        self._tell(kind)
        self._site.fault(kind, *victims, lasts=lasts)


@contextlib.contextmanager
def _database() -> Iterator[Postgres]:
    server = Postgres(is_safe=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextlib.asynccontextmanager
async def three_nodes(
    broker: Foreign, folder: Path, server: Postgres | None
) -> AsyncIterator[tuple[Site, NodesCluster]]:
    """A site on a cluster that runs; nothing of it is left afterwards but its files."""
    recorder = Recorder()
    await recorder.start()
    cluster = NodesCluster(broker, folder, recorder, nodes=3)
    if server is not None:
        cluster.db = PostgresUrl.parse(server.url)
    site = Site(cluster)
    try:
        await cluster.start_broker()
        yield site, cluster
    finally:
        site.keep_logs()
        await cluster.close()
        await recorder.stop()
        site.ledger.close()


async def run(
    broker: Foreign,
    folder: Path,
    tell: Callable[[str], None],
    *,
    short: bool = False,
    postgres: bool = False,
) -> Outcome:
    """Every fault once, or the two that matter most; the rows in a file or in PostgreSQL."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_database()) if postgres else None
        async with three_nodes(broker, folder, server) as (site, cluster):
            nodes = Nodes(site, cluster, tell, server)
            await nodes.begin()
            for at in (C,) if short else (A, B, C):
                await nodes.kill_node(at)
            await nodes.kill_leader()
            if not short:
                await nodes.freeze_leader()
                await nodes.kill_frozen_leader()
            if server is not None:
                await nodes.kill_database()
            await site.end_producers()
            verdict = await site.settled()
            lines = site.ledger.lines()
            return Outcome(broker, verdict, gaps(lines), longest_call(lines))
