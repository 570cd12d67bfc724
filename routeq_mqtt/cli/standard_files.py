"""Standard input and output as a command finds them: closed, or on a full disk."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAILED = 1
_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF})


def open_standard_files() -> None:
    """Put /dev/null in the place of those that are closed.

    Else the next file or socket would get their numbers: an event loop that reads its own socket as
    standard input, errors that are written into a database.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


@contextlib.contextmanager
def writes() -> Iterator[None]:
    """Around a command: what it cannot write, or an error of a file, is one line; exit code 1."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        what = "standard output cannot be written: " if error.errno in _OF_OUTPUT else ""
        # Nothing more goes there: Python would try again, and print a traceback, at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: {what}{error}\n")
        raise SystemExit(_FAILED) from None
