"""How much of its disk an outbox may take: the file, and SQLite's log beside it.

SQLite writes each commit to the log (WAL) first, and the log back into the file later. Without a
bound the log of a small outbox grows to 4 MB, and leaves a small disk no room to delete anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from routeq_mqtt.outbox.rows import OutboxJob, OutboxRow

LEAST = 256 * 1024
"""Bytes that an outbox takes at least, however small `max_bytes` is: SQLite needs them."""

_INDEX = 32 * 1024
"""Bytes of SQLite's index of the log, the ``-shm`` file."""

_KEPT_FREE = 64 * 1024
"""Bytes of the disk that are left to others, and to what cannot be foreseen."""

_TABLES = 8
"""Pages of an empty file."""

_EDGES = 2
"""Pages that one transaction may take beyond its rows."""

_ROOMY = 64 * 1024 * 1024
"""Bytes free on the disk above which no care is taken that it might be full the next moment."""

_STEP = 24
"""Pages by which a file grows at a time on a small disk."""

_ROW = 120
"""Bytes of a row beside its envelope, at most: its id, its queue and the numbers."""

_LOG_AT_LEAST, _LOG_AT_MOST = 64 * 1024, 8 * 1024 * 1024
_PAGE = 4096


def log_limit(path: Path, max_bytes: int) -> int:
    """Bytes that the log of a file may have: a part of the outbox, and of its disk."""
    found = os.statvfs(path.parent)
    disk = found.f_blocks * found.f_frsize
    return min(max(min(max(max_bytes, LEAST) // 4, disk // 8), _LOG_AT_LEAST), _LOG_AT_MOST)


def pages_of(jobs: Iterable[OutboxJob]) -> float:
    """Pages that jobs take, at most."""
    return sum(_pages_of(len(job.envelope) + len(job.queue)) for job in jobs)


def _pages_of(size: int) -> float:
    row = size + _ROW
    if row <= _PAGE - 46:  # beyond that SQLite puts the rest on pages of its own
        return 1 / ((_PAGE - 8) // row)
    return 1 + -(-row // (_PAGE - 4))


def parts(rows: Sequence[OutboxRow], log: int) -> Iterator[Sequence[OutboxRow]]:
    """Rows, cut so that a transaction that deletes some takes a quarter of the log at most."""
    begun, pages = 0, 0.0
    for at, row in enumerate(rows):
        pages += pages_of([row])
        if pages > log / 4 / _PAGE and at > begun:
            yield rows[begun:at]
            begun, pages = at, pages_of([row])
    yield rows[begun:]


@dataclass(slots=True)
class DiskRoom:
    """What one transaction may add.

    Attributes:
        permitted: pages that the file may use.
        used: pages that it uses.
        written: pages that this transaction adds.
        log: pages that the log may have.
        disk_is_full: it is the disk that sets the limit, not `max_bytes`.
    """

    permitted: int
    used: float
    written: float
    log: int
    disk_is_full: bool

    @classmethod
    def of(cls, db: sqlite3.Connection, path: Path, max_bytes: int, log: int) -> DiskRoom:
        """Look at a file that may have a log of this many bytes, within a transaction."""
        allowed = max(max_bytes, LEAST)
        on_disk = _size(path) + _size(f"{path}-wal")
        reachable = on_disk + _free(path) - _KEPT_FREE
        room = cls(
            permitted=(min(allowed, reachable) - log - _INDEX) // _PAGE,
            used=0.0,
            written=0.0,
            log=log // _PAGE,
            disk_is_full=reachable < allowed,
        )
        room.look(db)
        return room

    def look(self, db: sqlite3.Connection) -> None:
        """See what is used now."""
        pages = int(db.execute("PRAGMA page_count").fetchone()[0])
        free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
        self.used = float(pages - free)

    def over(self, pages: float) -> float:
        """By how many pages this many exceed the room; 0 or less: they fit.

        A transaction that is larger than the log may be is on disk twice for a moment.
        """
        twice = max(0.0, self.written + pages - self.log / 2)
        return self.used + _EDGES + pages + twice - self.permitted

    def ever_fits(self, pages: float) -> bool:
        """Whether this many fit into a file that holds nothing else."""
        twice = max(0.0, pages - self.log / 2)
        return _TABLES + _EDGES + pages + twice <= self.permitted

    def add(self, pages: float) -> None:
        """Count pages that were added."""
        self.used += pages
        self.written += pages


def spare_pages(db: sqlite3.Connection, path: Path, max_bytes: int, log: int, wanted: float) -> int:
    """How many pages a file should grow by before this many are written; 0: it need not.

    On a disk that may soon be full a file grows first, by pages that are really written. Then the
    log can always be written back, and what the log takes is free again: deletes go on.
    """
    if wanted > log / 2 / _PAGE or _free(path) > _ROOMY:
        return 0
    free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
    if free >= wanted + _EDGES + _TABLES:
        return 0
    room = DiskRoom.of(db, path, max_bytes, log)
    return min(_STEP + int(wanted), room.permitted - free - int(room.used))


def log_size(path: Path) -> int:
    """Bytes that the log of a file has now."""
    return _size(f"{path}-wal")


def _size(path: Path | str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - with each commit
    except OSError:
        return 0


def _free(path: Path) -> int:
    """Bytes of the disk that this process may still take."""
    found = os.statvfs(path.parent)
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return blocks * found.f_frsize
