"""Celery: docs, "Optimizing" and "Tasks: ignore results you don't want"."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from celery import Celery

from benchmarks.peers import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

app = Celery("peer", broker=f"{kit.REDIS_URL}/0")
app.conf.update(
    task_ignore_result=True, worker_send_task_events=False, worker_hijack_root_logger=False
)
if kit.SPEED:
    app.conf.update(worker_prefetch_multiplier=64, task_acks_late=False)
else:
    app.conf.update(
        worker_prefetch_multiplier=1, task_acks_late=True, task_reject_on_worker_lost=True
    )

# Threads: one process, as everybody else has; prefork costs a pipe for each job.
WORKER = [
    sys.executable, "-m", "celery", "-A", "benchmarks.peers.adapters.celery_", "worker",
    "-P", "threads", "-c", "10", "-l", "error",
    "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip


@app.task
def noop(text: str) -> None:
    kit.count(text)


def start() -> None:
    pass


def bulk(texts: Sequence[str]) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for text in texts:
            noop.apply_async((text,), producer=producer)


def one(text: str) -> None:
    noop.delay(text)


def later(delay: float, text: str) -> None:
    noop.apply_async((text,), countdown=delay)
