"""The file that the path leads to now: one that is deleted, moved or replaced gets a successor.

A process that has a file open can write to it long after it was deleted; that would never be read.
So each call looks at the path first, and after a commit once more. What the old file still held
moves into the new one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError, OutboxUnavailable
from routeq_mqtt.outbox.file import Contents, OutboxFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.errors import OutboxFull
    from routeq_mqtt.outbox.options import OutboxOptions
    from routeq_mqtt.outbox.rows import OutboxJob, OutboxRow

log: logging.Logger = logging.getLogger(__name__)


class LivingFile:
    """An `OutboxFile` that stays where its path leads. For one thread.

    Args:
        options: where it is and how much it may hold.

    Raises:
        ConfigurationError, OutboxUnavailable: as `OutboxFile`.
    """

    def __init__(self, options: OutboxOptions) -> None:
        self._options = options
        self._file = self._read = OutboxFile(options)
        self._version = -1

    def current(self) -> OutboxFile:
        """The file that the path leads to, made anew where there is none.

        Raises:
            OutboxUnavailable: the path leads to none, and none can be made there.
        """
        while not self._file.place.is_kept():
            self._begin_anew()
        return self._file

    def is_in_place(self) -> bool:
        """Whether the path leads to the file that is open; from any thread."""
        return self._file.place.is_kept()

    def close(self) -> None:
        """Close the file; what one that has left its place holds moves on before."""
        with contextlib.suppress(OutboxUnavailable):
            self.current()
        if self._file.place.is_kept():
            self._file.close()
        else:
            self._file.abandon()

    # -- in ------------------------------------------------------------------------------------

    def add(
        self, puts: Sequence[Sequence[OutboxJob]]
    ) -> list[OutboxFull | OutboxUnavailable | None]:
        """Keep several puts; see `OutboxFile.add`."""
        answers = self.current().add(puts)
        self.current()  # deleted meanwhile: what was just kept moves on
        return answers

    # -- out -----------------------------------------------------------------------------------

    def head(self, limit: int) -> list[OutboxRow]:
        """The oldest jobs; `changed` is about what was committed since."""
        file = self._read = self.current()
        self._version = file.version()
        return file.head(limit)

    def changed(self) -> bool:
        """Whether `head` may find something new: the commit of another process, another file."""
        file = self._file
        return file is not self._read or not file.place.is_kept() or file.version() != self._version

    def settle(
        self, gone: Sequence[OutboxRow], aside: Sequence[tuple[OutboxRow, str]], now: float
    ) -> None:
        """Delete jobs or set them aside; see `OutboxFile.settle`."""
        if self.current() is self._read:
            self._read.settle(gone, aside, now)
        if self.current() is not self._read:  # they have other numbers there
            self._file.forget([row.id for row in gone])

    # -- the next file -------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        if self._file.place.has_its_file():
            self._rebuild(self._file)
        self._file = self._successor(self._file)

    def _rebuild(self, old: OutboxFile) -> None:
        """Only the log was deleted, which had the latest jobs: another file gets all of them.

        SQLite could not use this one again while any process has it open with the lost log.
        """
        log.error("the log of the outbox was deleted path=%s", self._options.path)
        path = old.place.real.with_name(f"{old.place.real.name}.{os.getpid()}.new")
        path.unlink(missing_ok=True)
        new = OutboxFile(dataclasses.replace(self._options, path=path))
        try:
            new.take_over(_readable(old))
        finally:
            new.close()
        old.place.give_to(path)
        path.unlink(missing_ok=True)

    def _open(self) -> OutboxFile:
        try:
            return OutboxFile(self._options)
        except ConfigurationError as error:  # its folder is gone, too
            raise OutboxUnavailable(f"{error}; nothing was kept") from error

    def _successor(self, old: OutboxFile) -> OutboxFile:
        """A new file with what the old one held; the old one goes on to hold it until then."""
        path, contents = self._options.path, _readable(old)
        old.place.clear()
        new = self._open()
        try:
            taken = new.take_over(contents)
        except BaseException:
            new.close()
            raise
        log.error("the outbox was deleted or replaced: a new file path=%s jobs=%d", path, taken)
        with contextlib.suppress(OutboxUnavailable):  # then the scheduler drops what comes twice
            old.forget_contents(contents)
            old.shrink()
        old.abandon()
        return new


def _readable(old: OutboxFile) -> Contents:
    """What a file that is no longer in its place holds, as far as it can be read."""
    try:
        return old.contents()
    except OutboxUnavailable as error:
        if "locked" in str(error):
            raise
        # Like a disk that was pulled out: the new file must not wait for it.
        log.error("the outbox was replaced, and what it held cannot be read error=%s", error)
        return Contents([], [])
