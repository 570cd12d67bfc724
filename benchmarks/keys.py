"""What a stored dispatch costs while limited jobs with many different keys wait."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from routeq_mqtt.bench.jobs import BenchNoop
from routeq_mqtt.bench.results import percentile
from routeq_mqtt.bench.workload import TEXT

if TYPE_CHECKING:
    from routeq_mqtt.bench.scenarios import Figures
    from routeq_mqtt.bench.stage import Stage
    from routeq_mqtt.wire.envelopes.envelope import Envelope

SHARES = (0, 0.01, 0.1, 1)
"""Keys with a job that waits: of the workload's `waiting`, which is 100,000."""

_PART = 500
_ONCE = [1, 100_000_000]
"""One job of each key runs; the next one waits longer than the benchmark takes."""
_SETTLE = 300.0


async def keys(stage: Stage) -> Figures:
    """Repeat the same dispatches while more and more keys have a job waiting."""
    figures: Figures = {}
    await stage.worker()
    waiting = 0
    for share in SHARES:
        number = int(share * stage.load.waiting)
        await _make_wait(stage, range(waiting, number))
        waiting = number
        for what, limited in (("plain", False), ("limited", True)):
            times = [
                await _timed(stage, f"{what} {waiting} {one}" if limited else None)
                for one in range(stage.load.one_by_one // 10)
            ]
            for percent in (50, 99):
                name = f"stored dispatch, {what}, {waiting:,} keys wait, p{percent}"
                figures[name, "ms"] = 1_000 * percentile(times, percent)
    return figures


def _job(stage: Stage, key: str | None) -> Envelope:
    envelope = stage.bus.envelope(BenchNoop(text=TEXT)).evolve(queue=stage.queue)
    if key is None:
        return envelope
    return envelope.evolve(options={"limits": [{"key": key, "rate": _ONCE}]})


async def _make_wait(stage: Stage, keys: range) -> None:
    """Dispatch two jobs per key; return when one has run and the other one waits."""
    for first in range(keys.start, keys.stop, _PART):
        part = range(first, min(first + _PART, keys.stop))
        both = [_job(stage, f"device {key}") for key in part for _ in range(2)]
        await stage.bus.store(both, timeout=60)
    async with asyncio.timeout(_SETTLE):
        while True:
            size = await stage.bus.size(stage.queue)
            if size.held == size.total == keys.stop:
                return
            await asyncio.sleep(0.2)


async def _timed(stage: Stage, key: str | None) -> float:
    job = _job(stage, key)
    began = time.monotonic()
    await stage.bus.store([job], timeout=60)
    return time.monotonic() - began
