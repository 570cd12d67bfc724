"""What every peer's adapter shares; standard library only, since it runs in each peer's own venv.

A job counts itself in a file of shared memory, one slot for each process, and where it carries a
time, writes how late it was. Both are far cheaper than what they measure, and alike for all.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import mmap
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

SLOTS = 8_192
SIZE = 200
SPEED = os.environ.get("BENCH_SETTINGS", "speed") == "speed"
REDIS_PORT = int(os.environ.get("BENCH_REDIS_PORT", "0"))
REDIS_URL = f"redis://127.0.0.1:{REDIS_PORT}"

_counter: tuple[int, memoryview] | None = None
_times: int | None = None


def payload(at: float = 0.0) -> str:
    """200 bytes that begin with a time of CLOCK_MONOTONIC, or with 0."""
    return f"{at:.6f}".ljust(SIZE, ".")


def count(text: str) -> None:
    """The whole job."""
    global _counter
    pid = os.getpid()
    if _counter is None or _counter[0] != pid:  # a forked child counts for itself
        _counter = (pid, counter(Path(os.environ["BENCH_COUNTER"])))
    _counter[1][pid % SLOTS] += 1
    if text[0] != "0":
        _note(time.monotonic() - float(text.rstrip(".")))


def counter(path: Path) -> memoryview:
    """The counters of all processes."""
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), SLOTS * 8)).cast("Q")


def _note(late: float) -> None:
    global _times
    if _times is None:
        _times = os.open(os.environ["BENCH_TIMES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_times, f"{late:.6f}\n".encode())


async def _maybe(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _serve(adapter: ModuleType) -> None:
    """Read ``WHAT NUMBER`` from standard input, line by line, and answer with the seconds.

    One process for all runs: imports, connections and scripts are loaded before the first of them.
    """
    await _maybe(adapter.start())
    for line in sys.stdin:
        what, number = line.split()
        print(json.dumps(await _produce(adapter, what, int(number))), flush=True)


async def _produce(adapter: ModuleType, what: str, number: int) -> float:
    """Produce once; return how many seconds it took."""
    texts = [payload()] * number
    started = time.perf_counter()
    if what == "bulk":
        await _maybe(adapter.bulk(texts))
    elif what == "one":
        for text in texts:
            await _maybe(adapter.one(text))
    elif what == "rate":
        await _at_a_rate(adapter, number)
    else:
        await _delayed(adapter, number)
    return time.perf_counter() - started


async def _at_a_rate(adapter: ModuleType, number: int) -> None:
    """Produce 50 jobs a second; each carries the time of its dispatch."""
    started = time.perf_counter()
    for sent in range(number):
        await asyncio.sleep(max(0.0, started + sent / 50 - time.perf_counter()))
        await _maybe(adapter.one(payload(time.monotonic())))


async def _delayed(adapter: ModuleType, number: int) -> None:
    """Produce jobs that fall due evenly between 1 and 2 s from now."""
    started = time.perf_counter()
    for sent in range(number):
        delay = 1.0 + sent / number - (time.perf_counter() - started)
        await _maybe(adapter.later(delay, payload(time.monotonic() + delay)))


def main() -> None:
    """`ADAPTER produce` serves standard input; `ADAPTER work` becomes the peer's own worker."""
    # Imported, not run: a job's name must not begin with __main__.
    adapter = importlib.import_module(f"benchmarks.peers.adapters.{sys.argv[1]}_")
    if sys.argv[2] == "work":
        command = [str(part) for part in getattr(adapter, sys.argv[3])]
        os.execvp(command[0], command)  # noqa: S606 - the peer's own command
    asyncio.run(_serve(adapter))


if __name__ == "__main__":
    main()
