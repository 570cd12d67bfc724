"""dramatiq: acknowledges after the job ran, always; middleware that is not needed is left out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries

from benchmarks.peers import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

broker = RedisBroker(port=kit.REDIS_PORT, middleware=[Retries()] if kit.SPEED else None)
dramatiq.set_broker(broker)

WORKER = [
    sys.executable, "-m", "dramatiq", "benchmarks.peers.adapters.dramatiq_",
    "--processes", "1", "--threads", "8",
]  # fmt: skip


@dramatiq.actor
def noop(text: str) -> None:
    kit.count(text)


def start() -> None:
    pass


def bulk(texts: Sequence[str]) -> None:
    dramatiq.group([noop.message(text) for text in texts]).run()


def one(text: str) -> None:
    noop.send(text)


def later(delay: float, text: str) -> None:
    noop.send_with_options(args=(text,), delay=int(delay * 1000))
