"""A job whose module takes its time to import, in the job's own process only."""

from __future__ import annotations

import sys
import time

from routeq_mqtt import Job
from tests.cores.jobs import tell

TIMEOUT = 1.0

if sys.argv[0].endswith("child.py"):
    time.sleep(1.5 * TIMEOUT)


class ImportsLong(Job):
    """Has less time than its process takes to start."""

    executor = "process"
    timeout = TIMEOUT
    max_tries = 1

    def handle(self) -> None:
        tell("ran", self)
