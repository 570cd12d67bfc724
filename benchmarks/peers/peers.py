"""The peers: the packages for each, and the size of each workload per run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Settings = Literal["speed", "safety"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One job queue on Redis.

    Attributes:
        packages: for its own virtual environment.
        safety: it has settings of its own for safety; else "speed" is all there is.
        beside: a process of its own moves its delayed jobs.
        backlog: jobs of one drain for each of its settings; slow ones get fewer.
        note: what the reader should know.
    """

    name: str
    packages: tuple[str, ...]
    safety: bool = True
    beside: bool = False
    backlog: dict[Settings, int]
    note: str


PEERS = (
    Peer(
        name="rq",
        packages=("rq", "hiredis"),
        backlog={"speed": 1_000, "safety": 200},
        note="speed: SimpleWorker, enqueue_many; safety: Worker, a process for each job; "
        "delayed jobs may start early (late by less than nothing): it counts whole seconds",
    ),
    Peer(
        name="arq",
        packages=("arq", "hiredis"),
        backlog={"speed": 3_000, "safety": 3_000},
        safety=False,
        note="at least once always; 100 jobs at once, polls every 0.1 s",
    ),
    Peer(
        name="dramatiq",
        packages=("dramatiq[redis]", "hiredis"),
        backlog={"speed": 5_000, "safety": 5_000},
        note="acknowledges after the job always; speed: only the Retries middleware",
    ),
    Peer(
        name="taskiq",
        packages=("taskiq", "taskiq-redis", "hiredis", "uvloop"),
        beside=True,
        backlog={"speed": 10_000, "safety": 10_000},
        note="speed: lists, nothing is acknowledged; safety: streams, acknowledged after the job",
    ),
    Peer(
        name="saq",
        packages=("saq[redis,hiredis]", "typing_extensions", "uvloop"),
        backlog={"speed": 5_000, "safety": 5_000},
        safety=False,
        note="at least once by a sweeper; 100 jobs at once",
    ),
    Peer(
        name="huey",
        packages=("huey", "redis", "hiredis"),
        backlog={"speed": 5_000, "safety": 5_000},
        safety=False,
        note="takes a job out before it runs: a worker's death loses it; 4 threads",
    ),
    Peer(
        name="celery",
        packages=("celery[redis]", "hiredis"),
        backlog={"speed": 2_000, "safety": 2_000},
        note="thread pool of 10; safety: acks_late, reject_on_worker_lost, prefetch 1; "
        "delayed jobs are held in the worker's memory",
    ),
)
