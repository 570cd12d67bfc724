"""Jobs that leave something behind: context variables, forks, tasks and callbacks that exit."""

from __future__ import annotations

import asyncio
import os
import sys
from contextvars import ContextVar

from routeq_mqtt import Fail, Job, Release, Retry
from routeq_mqtt.jobs.middleware import Handler
from tests.cluster.jobs import Report, tell
from tests.cores.jobs import tell as tell_now

__all__ = ["Report"]

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class SetsTenant(Job):
    """Says which tenant it found, and sets its own, before and after it has waited."""

    key: str

    async def handle(self) -> None:
        found = tenant.get()
        tenant.set(f"{self.key} began")
        await asyncio.sleep(0)
        kept = tenant.get()
        tenant.set(self.key)
        await tell("ran", self, key=self.key, found=found, kept=kept)


class ForksAndAwaits(Job):
    """Its child comes back to the event loop of the worker."""

    max_tries = 1
    how: str

    async def handle(self) -> None:
        if self.how == "slot":
            await self.fork()
        else:
            await asyncio.create_task(self.fork())
        await tell("ran", self, key=self.how)

    async def fork(self) -> None:
        child = os.fork()
        if child == 0:
            await asyncio.sleep(0)
            tell_now("second worker", self)
            await asyncio.Event().wait()
        await tell("forked", self, child=child)


async def _exit() -> None:
    raise SystemExit(0)


class ExitsInATask(Job):
    async def handle(self) -> None:
        task = asyncio.create_task(_exit())
        await asyncio.wait({task})
        await tell("ran", self, key=repr(task.exception()))


class ExitsInACallback(Job):
    async def handle(self) -> None:
        asyncio.get_running_loop().call_soon(sys.exit, 0)
        await asyncio.sleep(600)


async def catches_everything(job: Job, go_on: Handler) -> object:
    try:
        return await go_on(job)
    except Exception:  # noqa: BLE001 - as much middleware does
        return None


_released: set[str] = set()


class Steers(Job):
    """Raises what steers its fate, below a middleware and a `handle` that catch each Exception."""

    max_tries = 2
    middleware = (catches_everything,)
    what: str

    async def handle(self) -> None:
        control = {"Fail": Fail("no"), "Retry": Retry("later"), "Release": Release(0.0)}[self.what]
        await tell("tried", self, key=self.what)
        if self.what != "Release" or self.job_id not in _released:
            _released.add(str(self.job_id))
            try:
                raise control
            except Exception:  # noqa: BLE001, S110 - as much code does
                pass
        await tell("ran", self, key=self.what)


class EndsItsWorker(Job):
    """Does to the event loop what only its owner may do."""

    max_tries = 1
    how: str

    async def handle(self) -> None:
        await tell("ran", self, key=self.how)
        loop = asyncio.get_running_loop()
        if self.how == "cancels all tasks":
            for task in asyncio.all_tasks():
                task.cancel()
        elif self.how == "stops the loop":
            loop.stop()
        else:
            loop.call_soon(sys.exit, 0)
        await asyncio.Event().wait()
