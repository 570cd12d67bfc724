"""A network between a worker and its broker that is cut, and there again, and cut."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.cluster.proxy import Proxy

if TYPE_CHECKING:
    from tests.cluster.process import Process
    from tests.faults.site import Site


async def flap(
    site: Site, proxy: Proxy, worker: Process, *, cuts: int, every: float | None = None
) -> list[float]:
    """Cut a worker's network, again and again, under a load that is there already.

    Args:
        cuts: how often.
        every: seconds between two cuts; None: as soon as that worker has started a job again, which
            it does on a live connection only.

    Returns:
        Seconds from each cut to the next job that it started, where it came to that.
    """
    back = []
    for _ in range(cuts):
        site.fault("network flapping", worker, lasts=2.0)
        proxy.cut()
        began = time.monotonic()
        seen = len(site.ledger.lines())
        limit = 60.0 if every is None else every
        while time.monotonic() - began < limit:
            if any(_started(line, worker) for line in site.ledger.lines()[seen:]):
                back.append(time.monotonic() - began)
                break
            await asyncio.sleep(0.02)
        else:
            assert every is not None, f"the worker is not back within {limit} s"
        if every is not None:
            await asyncio.sleep(began + every - time.monotonic())
    return back


def _started(line: dict[str, object], worker: Process) -> bool:
    return line["event"] == "start" and line["pid"] == worker.pid


async def flapping_minute(site: Site, *, cuts: int, every: float) -> list[float]:
    """Two workers, one of them behind the line that is cut; see `flap`."""
    proxy = Proxy(site.cluster.port)
    await proxy.start()
    try:
        await site.start_scheduler()
        cut = await site.start_worker("--concurrency", "5", url=proxy.url)
        await site.start_worker("--concurrency", "5")
        load = ("--rate", "100", "--seconds", "0.05")
        await site.start_producer("plain", *load)
        await site.start_producer("later", "--delayed", "0.5", "--failing", "0.2", *load)
        await site.until("end", 50)
        back = await flap(site, proxy, cut, cuts=cuts, every=every)
        await site.end_producers()
        return back
    finally:
        await proxy.stop()
