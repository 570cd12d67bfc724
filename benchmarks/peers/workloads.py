"""The workloads of one peer: figures by name, one per run."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from benchmarks.peers.arena import Arena, until

if TYPE_CHECKING:
    from collections.abc import Callable

Figures = dict[tuple[str, str], list[float]]

RATE = "jobs/s"
BULK = 5_000
ONE_BY_ONE = 2_000
LATE_JOBS = 100


def play(arena: Arena, backlog: int, runs: int, *, drains_only: bool) -> Figures:
    """Run every workload `runs` times."""
    figures: Figures = defaultdict(list)
    with arena.producer():
        if not drains_only:
            arena.produce("bulk", 10)  # connections and scripts are there before the first run
            for _ in range(runs):
                arena.flush()
                figures["bulk", RATE].append(BULK / arena.produce("bulk", BULK))
                arena.flush()
                took = arena.produce("one", ONE_BY_ONE)
                figures["one by one", RATE].append(ONE_BY_ONE / took)
            arena.flush()
        for number in (1, 2):
            arena.clear()
            with arena.workers(number) as send:
                for _ in range(runs):
                    name = f"drain, {number} worker process{'es' * (number > 1)}"
                    figures[name, RATE].append(_drain(arena, backlog, send))
                if number == 1:
                    for _ in range(runs):
                        figures["both at once", RATE].append(_both(arena, backlog))
                    for _ in range(0 if drains_only else runs):
                        _late(arena, "rate", "latency at 50/s", figures)
                        _late(arena, "delayed", "delayed, late by", figures)
    return figures


def _drain(arena: Arena, backlog: int, send: Callable[[signal.Signals], None]) -> float:
    """Drain a backlog that was there first; timed from the first job to the last."""
    arena.clear()
    send(signal.SIGSTOP)
    arena.produce("bulk", backlog)
    send(signal.SIGCONT)
    return _rate(arena, backlog)


def _both(arena: Arena, backlog: int) -> float:
    arena.clear()
    arena.tell("bulk", backlog)
    rate = _rate(arena, backlog)
    arena.told()
    return rate


def _rate(arena: Arena, number: int) -> float:
    until(lambda: arena.counted() > 0, "the first job")
    first, began = arena.counted(), time.perf_counter()
    until(lambda: arena.counted() >= number, "the last job")
    return (number - first) / (time.perf_counter() - began)


def _late(arena: Arena, what: str, name: str, figures: Figures) -> None:
    arena.clear()
    arena.produce(what, LATE_JOBS)
    until(lambda: arena.counted() >= LATE_JOBS, "the last job", every=0.01)
    late = sorted(float(line) * 1_000 for line in arena.times.read_text().split())
    figures[f"{name}, p50", "ms"].append(late[len(late) // 2])
    figures[f"{name}, p99", "ms"].append(late[-2])
