"""Child processes for jobs with ``executor = "process"``: they compute, crash and are killed alone.

A child is a Python of its own, not a fork: it inherits no socket, no lock and no event loop. A job
travels to it as its envelope; the class is found by its registered name, in the module that the
worker has it from. It is kept for the next job, unless it had to be killed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from routeq_mqtt.errors import JobProcessDied
from routeq_mqtt.jobs.schema import encoded_data
from routeq_mqtt.worker.execute.child_process import Child
from routeq_mqtt.worker.execute.relayed import from_data

if TYPE_CHECKING:
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.execute.timeout import PausableTimeout

log: logging.Logger = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0

_first: list[str] = []


def import_first(module: str) -> None:
    """Import a module in each child before that of the job: a framework that must be set up."""
    if module not in _first:
        _first.append(module)


class Processes:
    """As many children as jobs run in them at once; started when they are needed."""

    def __init__(self) -> None:
        self._idle: list[Child] = []
        self._all: set[Child] = set()

    async def run(self, job: Job, envelope: Envelope, limit: PausableTimeout) -> object:
        """Run ``handle()`` of a job in a child; its result.

        A cancellation (a timeout, too) kills the child. Its start, and the import of what the job
        needs, do not count against `limit`. While no process can be started (no memory, no file
        descriptors), the job waits: that is not its fault.

        Raises:
            JobProcessDied: the child ended first; says how.
            BaseException: what ``handle()`` raised, with the child's traceback as its cause.
        """
        limit.stop()
        child = await self._child()
        try:
            await child.begin(
                {
                    "envelope": _plain(job, envelope).encode(),
                    "first": _first,
                    "module": type(job).__module__,
                    "main": getattr(sys.modules.get("__main__"), "__file__", None),
                    "log_level": logging.getLogger().getEffectiveLevel(),
                }
            )
            limit.call_next()
            while "progress" in (answer := await child.hear()):
                job.progress(*answer["progress"])
        except BaseException:
            self._all.discard(child)
            await asyncio.shield(child.kill())
            raise
        self._idle.append(child)
        if "error" in answer:
            raise from_data(answer["error"])
        return answer["value"]

    async def _child(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            self._all.discard(child)
            await child.kill()
        wait = _FIRST_WAIT
        while True:
            try:
                child = await Child.start()
            except (OSError, JobProcessDied) as error:
                log.error("no job process can be started, again in %.1f s error=%s", wait, error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                self._all.add(child)
                return child

    def close(self) -> None:
        """End them all, those that run a job by force."""
        for child in self._all:
            child.end(by_force=child not in self._idle)
        self._all.clear()
        self._idle.clear()


def _plain(job: Job, envelope: Envelope) -> Envelope:
    """The envelope with what the worker has opened, as middleware left it: no keys travel."""
    return envelope.evolve(
        id=job.job_id, data=encoded_data(job), headers=job.headers or {}, extra={}
    )
