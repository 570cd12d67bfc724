"""Group commits: everything that one turn of the loop brings is one transaction, and one fsync.

An answer that promises safety (a PUBACK) is sent by a callback after the commit. What came and went
between two commits is never written at all. While the disk is full or the file is damaged, nothing
is acknowledged that must be written, `failing` is set, and the same batch is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from routeq_broker.errors import StoreBroken
from routeq_broker.storage.database import Batch, Database, Row, Rows

if TYPE_CHECKING:
    from pathlib import Path

    from routeq_broker.clock import Clock
    from routeq_broker.storage.entry import Entry

log = logging.getLogger(__name__)

_TRY_AGAIN = 1.0
_SAY_AGAIN = 60
"""Attempts between two log lines about one disk that stays full."""

Answer = Callable[[], None]
_T = TypeVar("_T")


class Journal(Protocol):
    """Where the broker writes what must outlive it.

    Attributes:
        failing: it cannot write now; what must be kept is to be refused.
        changes: grows with each change that is to be written.
    """

    failing: bool
    changes: int

    def save(self, entry: Entry) -> None:
        """Keep a message, or what has changed of it."""
        ...

    def forget(self, entry: Entry) -> None:
        """A message was acknowledged."""
        ...

    def write(self, statement: str, *values: object) -> None:
        """Anything else: sessions, subscriptions, retained messages."""
        ...

    def then(self, answer: Answer) -> None:
        """Call back once everything that was saved before is safe."""
        ...


class NoJournal:
    """Without a database: safe means in memory."""

    failing = False
    changes = 0

    def save(self, entry: Entry) -> None:
        """Nothing to do."""

    def forget(self, entry: Entry) -> None:
        """Nothing to do."""

    def write(self, statement: str, *values: object) -> None:
        """Nothing to do."""

    def then(self, answer: Answer) -> None:
        """At once."""
        answer()


class SqliteJournal:
    """Writes to the database in group commits.

    Args:
        path: of the file.
        clock: deadlines are monotonic in memory, and wall time in the file.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.failing = False
        self.changes = 0
        self._path = path
        self._clock = clock
        self._database = Database(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="broker-journal")
        self._changed: dict[int, Entry] = {}
        self._gone: list[int] = []
        self._writes: list[tuple[str, Row]] = []
        self._answers: list[Answer] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> Rows:
        """Open the database, and read what it has.

        Raises:
            StoreBroken: it cannot be used, or is of a later version.
        """
        try:
            rows = await self._in_thread(self._database.open)
        except StoreBroken:
            self._thread.shutdown(wait=False)
            raise
        self._task = asyncio.create_task(self._run(), name="broker-journal")
        return rows

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @property
    def _dirty(self) -> bool:
        return bool(self._changed or self._gone or self._writes or self._answers)

    def save(self, entry: Entry) -> None:
        """Keep a message, or what has changed of it."""
        self._changed[entry.number] = entry
        self.changes += 1
        self._wake.set()

    def forget(self, entry: Entry) -> None:
        """A message was acknowledged."""
        self._changed.pop(entry.number, None)
        if entry.saved:
            self._gone.append(entry.number)
            self.changes += 1
            self._wake.set()

    def write(self, statement: str, *values: object) -> None:
        """Anything else."""
        self._writes.append((statement, values))
        self.changes += 1
        self._wake.set()

    def then(self, answer: Answer) -> None:
        """Call back once everything that was saved before is safe."""
        self._answers.append(answer)
        self._wake.set()

    async def close(self) -> None:
        """Commit the rest and close; where the disk does not take it, say so and close."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        with contextlib.suppress(RuntimeError):
            await self._in_thread(self._database.close)
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._commit()
            if self._stopping and (self.failing or not self._dirty):
                return

    async def _commit(self) -> None:
        batch, answers = self._gather()
        if not batch.empty and not await self._store(batch):
            return
        for answer in answers:
            try:
                answer()
            except Exception:
                log.exception("an answer could not be sent")

    def _gather(self) -> tuple[Batch, list[Answer]]:
        changed, self._changed = self._changed, {}
        gone, self._gone = self._gone, []
        writes, self._writes = self._writes, []
        answers, self._answers = self._answers, []
        for entry in changed.values():
            entry.saved = True  # from here on only a DELETE unwrites it
        return Batch([self._row(entry) for entry in changed.values()], gone, writes), answers

    def _row(self, entry: Entry) -> Row:
        share, queue = entry.group or (None, None)
        return (
            entry.number, entry.topic, entry.payload, share, queue, entry.owner, entry.mid,
            entry.dup, entry.qos, entry.retain, entry.properties, entry.ids,
            wall(entry.expires, self._clock), entry.released,
        )  # fmt: skip

    async def _store(self, batch: Batch) -> bool:
        """Write a batch, however long that takes; False: we were stopped before."""
        attempts = 0
        while True:
            try:
                await self._in_thread(lambda: self._database.write(batch))
            except Exception as error:  # noqa: BLE001 - whatever it is, this task must go on
                self.failing = True
                if attempts % _SAY_AGAIN == 0:
                    log.error(
                        "database %s: cannot commit, messages to queues are refused: error=%s",
                        self._path, error,
                    )  # fmt: skip
            else:
                if self.failing:
                    self.failing = False
                    log.warning("database %s: commits work again", self._path)
                return True
            attempts += 1
            if self._stopping:
                log.error(
                    "database %s: not written at the end: messages=%d deletions=%d; their "
                    "publishers have no acknowledgement", self._path, len(batch.saved),
                    len(batch.deleted),
                )  # fmt: skip
                return False
            await self._pause()

    async def _pause(self) -> None:
        """A while, or until the broker stops."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _TRY_AGAIN
        while not self._stopping and loop.time() < end:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), end - loop.time())
        self._wake.set()


def wall(deadline: float | None, clock: Clock) -> float | None:
    """A monotonic deadline as wall time."""
    return None if deadline is None else deadline - clock.monotonic() + clock.wall()


def monotonic(deadline: float | None, clock: Clock) -> float | None:
    """A deadline in wall time as a monotonic one."""
    return None if deadline is None else deadline - clock.wall() + clock.monotonic()
