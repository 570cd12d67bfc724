"""The way of a job through our files: `python -m benchmarks.way`.

How many of our files a plain and a delayed job pass from the dispatch to the outcome, and how often
a call moves from one of them to another. Broker, scheduler and worker run in this process, and what
else they do meanwhile counts, too. `docs/design.md` has the files that matter.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import routeq_mqtt
from routeq_mqtt import Job, on, remove_hook
from routeq_mqtt.testing import MemoryBus

if TYPE_CHECKING:
    from types import FrameType

    from routeq_mqtt.jobs.hooks import JobEvent

_PACKAGE = str(Path(routeq_mqtt.__file__).parent)
_WITHIN = 10.0


class WayNoop(Job):
    """Does nothing."""

    async def handle(self) -> None:
        """Do nothing."""


class Way:
    """A profiler that notes which of our files are called.

    Attributes:
        files: in the order of their first call.
        moves: calls from one of our files into another.
    """

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.moves = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - as it comes
        """Note a call; see `sys.setprofile`."""
        called = frame.f_code.co_filename
        if event != "call" or not called.startswith(_PACKAGE):
            return
        self.files.setdefault(called[len(_PACKAGE) + 1 :])
        back = frame.f_back
        while back is not None and not back.f_code.co_filename.startswith(_PACKAGE):
            back = back.f_back
        self.moves += back is not None and back.f_code.co_filename != called


async def way_of(job: Job, *, delay: float | None = None) -> Way:
    """Follow one job from its dispatch to its outcome.

    Args:
        job: to dispatch.
        delay: seconds; None: it runs at once.

    Raises:
        TimeoutError: the job did not succeed within 10 s.
    """
    way, done = Way(), asyncio.Event()

    def ended(event: JobEvent) -> None:
        done.set()

    async with MemoryBus("default") as bus:
        on("done")(ended)
        sys.setprofile(way)
        try:
            await bus.dispatch(job, delay=delay)
            async with asyncio.timeout(_WITHIN):
                await done.wait()
        finally:
            sys.setprofile(None)
            remove_hook(ended)
    return way


async def _print() -> None:
    for name, delay in (("plain", None), ("delayed", 0.01)):
        way = await way_of(WayNoop(), delay=delay)
        print(f"{name:8} files {len(way.files):3}   moves between files {way.moves:4}")


if __name__ == "__main__":
    asyncio.run(_print())
