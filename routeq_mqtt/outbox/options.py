"""How an outbox keeps and sends jobs, checked where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal, get_args

from routeq_mqtt.errors import ConfigurationError

Confirm = Literal["broker", "stored"]
WhenFull = Literal["refuse", "drop_oldest"]

MAX_JOBS = 100_000
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """An outbox (issue 5).

    Attributes:
        path: of the SQLite file; made where it is missing. Several processes may share it. A
            relative one counts from the working directory of this moment.
        confirm: who has a job before it leaves the file. "stored" (default): the scheduler, which
            drops an id that comes twice. "broker": the broker; needs no scheduler, and may double
            a job when a connection breaks.
        max_jobs: that may wait; default 100,000.
        max_bytes: that their envelopes may have together, and the file on disk with SQLite's log;
            default 256 MiB. On disk it takes 256 KiB at least.
        when_full: "refuse" (default): dispatch raises `OutboxFull`. "drop_oldest": the oldest jobs
            are deleted, and counted.
        commit_delay: seconds that a job waits for others to share its commit to disk; default 0:
            no waiting. `dispatch` returns after the commit, so it takes that much longer.
        max_rate: jobs sent per second at most; default: as fast as the broker takes them.
        linger: seconds that closing waits for what can be sent now; default 5.
    """

    path: Path
    confirm: Confirm = "stored"
    max_jobs: int = MAX_JOBS
    max_bytes: int = MAX_BYTES
    when_full: WhenFull = "refuse"
    commit_delay: float = 0.0
    max_rate: float | None = None
    linger: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | Path) or not str(self.path):
            raise ConfigurationError(f"outbox: path={self.path!r} must name a file")
        # At once: a daemon changes its working directory later, and means the same file.
        object.__setattr__(self, "path", Path(self.path).absolute())
        for option, choices in (("confirm", Confirm), ("when_full", WhenFull)):
            value = getattr(self, option)
            if value not in get_args(choices):
                raise ConfigurationError(
                    f"outbox: {option}={value!r} is unknown; use {' or '.join(get_args(choices))}"
                )
        for option in ("max_jobs", "max_bytes"):
            value = getattr(self, option)
            if not (_is_number(value, whole=True) and value >= 1):
                raise ConfigurationError(
                    f"outbox: {option}={value!r} must be a whole number, 1 or more"
                )
        for option in ("commit_delay", "linger"):
            value = getattr(self, option)
            if not (_is_number(value) and value >= 0):
                raise ConfigurationError(f"outbox: {option}={value!r} must be 0 seconds or more")
        rate = self.max_rate
        if rate is not None and not (_is_number(rate) and rate > 0):
            raise ConfigurationError(
                f"outbox: max_rate={rate!r} must be a number above 0; None: as fast as possible"
            )


def _is_number(value: object, *, whole: bool = False) -> bool:
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < inf
