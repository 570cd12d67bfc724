"""Jobs that fork, and jobs whose processes leave others behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

from routeq_mqtt import Job
from tests.cluster.jobs import Report
from tests.cores.jobs import Compute, tell

__all__ = ["Compute", "Report"]

_FORK = multiprocessing.get_context("fork")


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class Forks(Job):
    """Pools and processes that are ended by signals, as `multiprocessing` does it."""

    max_tries = 1
    how: str

    def handle(self) -> None:
        if self.how == "pool":
            with _FORK.Pool(8) as pool:
                assert pool.map(abs, [-1, -2]) == [1, 2]
        elif self.how == "terminate":
            children = [_FORK.Process(target=_sleep, args=(600,)) for _ in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.terminate()
                child.join(30)
                assert child.exitcode == -signal.SIGTERM, child.exitcode
        elif os.fork() == 0:
            return  # a fork that comes back from its job
        tell("ran", self, key=self.how)


class ForksInAProcess(Forks):
    executor = "process"


class LeavesAFork(Job):
    """Dies while its fork holds all that it had open."""

    executor = "process"
    max_tries = 1
    timeout = 0

    def handle(self) -> None:
        child = _FORK.Process(target=_sleep, args=(600,))
        child.start()
        tell("tried", self, child=child.pid)
        os._exit(7)


class LeavesADaemon(Job):
    """Starts a process that leaves its session, and does not end."""

    executor = "process"
    max_tries = 1
    timeout = 3

    def handle(self) -> None:
        daemon = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        tell("tried", self, child=daemon.pid)
        time.sleep(600)


class Environment(Job):
    executor = "process"

    def handle(self) -> None:
        tell("ran", self, key="path", path=os.environ.get("PYTHONPATH"))
