"""Nothing to do is nothing done: the event loops of an idle bus rest."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.counting import MODULE
from tests.cluster.process import ENTRY, Process

WATCHED = 2.0
"""Seconds."""

MOST = 60
"""Turns a second; a writer that is left with the loop makes tens of thousands."""


async def turns(process: Process, already: int) -> int:
    process.send(signal.SIGUSR1)
    await process.says("turns=", already + 1)
    said = [line for line in process.lines if "turns=" in line]
    return int(said[-1].partition("turns=")[2])


async def rates(processes: list[Process]) -> dict[str, float]:
    """Turns a second of each process while nothing happens."""
    loop = asyncio.get_running_loop()
    before = [await turns(process, 0) for process in processes]
    began = loop.time()
    await asyncio.sleep(WATCHED)
    after = [await turns(process, 1) for process in processes]
    took = loop.time() - began
    return {
        f"{process.name} {process.pid}": (late - early) / took
        for process, early, late in zip(processes, before, after, strict=True)
    }


async def test_the_event_loops_of_an_idle_bus_rest(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop: Any = asyncio.get_running_loop()
    own, select = 0, loop._selector.select

    def counting(timeout: float | None = None) -> Any:
        nonlocal own
        own += 1
        return select(timeout)

    cluster.extra_env[ENTRY] = MODULE
    if cluster.kind == "embedded":
        await cluster.restart_broker()  # as a process that counts
    starting = [cluster.worker("a,b"), cluster.scheduler(), cluster.worker("b", "--name", "n")]
    processes = list(await asyncio.gather(*starting))
    if cluster.kind == "embedded" and cluster.broker is not None:
        processes.append(cluster.broker)
    async with cluster.bus() as bus:
        await bus.size("a")
        monkeypatch.setattr(loop._selector, "select", counting)
        spun = await rates(processes)
    spun["producer"] = own / WATCHED
    assert max(spun.values()) < MOST, spun
