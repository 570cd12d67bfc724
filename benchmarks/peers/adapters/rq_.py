"""RQ: docs, "Workers: performance notes" (SimpleWorker) and "Bulk job enqueueing"."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from redis import Redis
from rq import Queue

from benchmarks.peers import kit
from benchmarks.peers.adapters import jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

queue = Queue("peer", connection=Redis(port=kit.REDIS_PORT))

WORKER = [
    sys.executable, "-m", "rq.cli", "worker", "peer", "--url", kit.REDIS_URL, "--with-scheduler",
    "--worker-class", "rq.SimpleWorker" if kit.SPEED else "rq.Worker", "--quiet",
]  # fmt: skip


def start() -> None:
    pass


def bulk(texts: Sequence[str]) -> None:
    queue.enqueue_many([Queue.prepare_data(jobs.noop, (text,), result_ttl=0) for text in texts])


def one(text: str) -> None:
    queue.enqueue(jobs.noop, text, result_ttl=0)


def later(delay: float, text: str) -> None:
    queue.enqueue_in(timedelta(seconds=delay), jobs.noop, text, result_ttl=0)
