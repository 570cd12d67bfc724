"""Log lines of services: local time with its zone, or the journal's priorities under systemd."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_JOURNAL_FORMAT = "%(levelname)s %(name)s %(message)s"

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
"""Of syslog, by the lowest level that has them (sd-daemon(3))."""


class _Lines(logging.Formatter):
    """``2026-11-30 15:50:38.021+01:00 INFO logger message``: the zone that tables show, too."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        return moment.isoformat(" ", "milliseconds")


class _JournalLines(logging.Formatter):
    """Each line with its priority; the journal has the time."""

    def format(self, record: logging.LogRecord) -> str:
        number = next(number for least, number in _PRIORITIES if record.levelno >= least)
        # The journal makes an entry of every line: those of a traceback have the same priority.
        return "\n".join(f"<{number}>{line}" for line in super().format(record).split("\n"))


def handler() -> logging.Handler:
    """Writes to standard error, in the form that reads well there."""
    made = logging.StreamHandler()
    made.setFormatter(_JournalLines(_JOURNAL_FORMAT) if _is_journal() else _Lines(_FORMAT))
    return made


def _is_journal() -> bool:
    """Whether systemd connected standard error with its journal (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
