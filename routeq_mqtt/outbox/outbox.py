"""An outbox as an event loop sees it: commits are grouped, news of other processes is seen."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_mqtt.errors import OutboxUnavailable, RouteqError
from routeq_mqtt.imports import first_import
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.outbox.place import real
from routeq_mqtt.outbox.thread import OneThread
from routeq_mqtt.processlock import ProcessLock
from routeq_mqtt.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.outbox.file import OutboxFile
    from routeq_mqtt.outbox.living import LivingFile
    from routeq_mqtt.outbox.options import OutboxOptions
    from routeq_mqtt.outbox.rows import OutboxJob, OutboxRow, OutboxStatus

_LOOK_EVERY = 0.2
"""Seconds between two looks whether another process has added jobs: no reading of any row."""

_WATCH_EVERY = 1.0
"""Seconds between two looks whether the file is still in its place, where nothing is sent."""

_Put = tuple["Sequence[OutboxJob]", "asyncio.Future[None]"]


class Outbox:
    """Jobs that wait in a file. One for each process and event loop.

    Args:
        options: where and how.
        clock: what time it is.
    """

    def __init__(self, options: OutboxOptions, clock: Clock) -> None:
        self.options = options
        # One lock for each file, by whatever name a process knows it.
        self.lock: ProcessLock = ProcessLock(
            Path(f"{real(options.path)}.lock"), beside=options.path
        )
        self._clock = clock
        self._thread = OneThread("outbox")
        self._file: LivingFile | None = None
        self._opening = asyncio.Lock()
        self._waiting: list[_Put] = []
        self._committing: asyncio.Task[None] | None = None
        self._tasks = Tasks()
        self._news = Notifier()
        self._seen = -1

    async def open(self) -> OutboxFile:
        """Open the file, and make it where it is missing; see `OutboxFile`."""
        living = await self._living()
        return await self._thread.run(living.current)

    async def _living(self) -> LivingFile:
        async with self._opening:
            if self._file is None:
                # Late: most programs have no outbox, and need no SQLite.
                with first_import():
                    from routeq_mqtt.outbox.living import LivingFile

                self._file = await self._thread.run(LivingFile, self.options)
            return self._file

    async def close(self) -> None:
        """Commit what waits, close the file, end the thread."""
        if self._committing is not None:
            await asyncio.gather(self._committing, return_exceptions=True)
        if self._file is not None:
            await self._thread.run(self._file.close)
            self._file = None
        self._thread.end()

    def abandon(self) -> None:
        """`close`, where the event loop has ended already."""
        self.lock.release()
        self._thread.finish(None if self._file is None else self._file.close)
        self._file = None

    # -- in ------------------------------------------------------------------------------------

    async def put(self, jobs: Sequence[OutboxJob]) -> None:
        """Keep jobs, all or none; returns when they are on disk.

        Raises:
            OutboxFull: there is no room for them.
            OutboxUnavailable: disk full, read-only or damaged.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((jobs, kept))
        if self._committing is None or self._committing.done():
            self._committing = self._tasks.start(
                self._commit_all(), "outbox-commit", failed=self._commit_failed
            )
        await kept

    async def _commit_all(self) -> None:
        """Commit until nothing waits; what comes while the disk works shares the next commit."""
        while self._waiting:
            if self.options.commit_delay:
                await asyncio.sleep(self.options.commit_delay)
            puts, self._waiting = self._waiting, []
            if not await self._commit(puts) and len(puts) > 1:
                for put in puts:  # a full disk may have room for some of them
                    await self._commit([put], last=True)
            self._news.notify()

    def _commit_failed(self, error: BaseException) -> None:
        """Release the waiters of what no task commits any more."""
        puts, self._waiting = self._waiting, []
        for _, kept in puts:
            if not kept.done():
                kept.set_exception(OutboxUnavailable(f"the outbox cannot be written: {error!r}"))

    async def _commit(self, puts: Sequence[_Put], *, last: bool = False) -> bool:
        try:
            file = await self._living()
            refusals: Sequence[RouteqError | None] = await self._thread.run(
                file.add, [jobs for jobs, _ in puts]
            )
        except RouteqError as error:
            if len(puts) > 1 and isinstance(error, OutboxUnavailable) and not last:
                return False
            refusals = [error] * len(puts)
        except BaseException as error:
            for _, kept in puts:
                if not kept.done():
                    kept.set_exception(
                        OutboxUnavailable(f"the outbox cannot be written: {error!r}")
                    )
            raise
        for (_, kept), refusal in zip(puts, refusals, strict=True):
            if kept.done():
                continue
            if refusal is None:
                kept.set_result(None)
            else:
                kept.set_exception(refusal)
        return True

    # -- out -----------------------------------------------------------------------------------

    async def head(self, limit: int) -> list[OutboxRow]:
        """The oldest jobs, in order."""
        self._seen = self._news.fired
        file = await self._living()
        return await self._thread.run(file.head, limit)

    async def settle(
        self, gone: Sequence[OutboxRow], aside: Sequence[tuple[OutboxRow, str]]
    ) -> None:
        """Delete jobs that were delivered, and set aside those that are refused."""
        if gone or aside:
            file = await self._living()
            await self._thread.run(file.settle, gone, aside, self._clock.now())

    async def more(self) -> None:
        """Wait until the file may have changed since the last `head`, by whatever process.

        Also until the lock is no longer ours.
        """
        while self._news.fired == self._seen and self.lock.is_ours():
            if await self._changed():
                return
            await self._news.wait(_LOOK_EVERY, since=self._seen)

    async def watch(self) -> None:
        """Have what the file holds move on when it is deleted, also while nothing can be sent."""
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            if self._file is not None and not self._file.is_in_place():
                with contextlib.suppress(OutboxUnavailable):  # whoever uses it hears of that
                    await self._thread.run(self._file.current)

    async def _changed(self) -> bool:
        file = await self._living()
        try:
            return await self._thread.run(file.changed)
        except OutboxUnavailable:
            return True  # `head` says why

    async def bring_back(self) -> int:
        """Let what was set aside be sent again; how many."""
        file = await self.open()
        return await self._thread.run(file.bring_back)

    async def is_empty(self) -> bool:
        """Whether nothing waits to be sent."""
        file = await self.open()
        return not await self._thread.run(file.head, 1)

    async def status(self) -> OutboxStatus:
        """What is there."""
        file = await self.open()
        return await self._thread.run(file.status)
