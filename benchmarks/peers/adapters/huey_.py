"""Huey: no results; it takes a job out before it runs, and has no setting for at least once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from huey import RedisHuey

from benchmarks.peers import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

huey = RedisHuey("peer", port=kit.REDIS_PORT, results=False)

WORKER = [
    sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.peers.adapters.huey_.huey",
    "-k", "thread", "-w", "4", "-q",
]  # fmt: skip


@huey.task()
def noop(text: str) -> None:
    kit.count(text)


def start() -> None:
    pass


def bulk(texts: Sequence[str]) -> None:
    for text in texts:
        noop(text)


def one(text: str) -> None:
    noop(text)


def later(delay: float, text: str) -> None:
    noop.schedule((text,), delay=delay)
