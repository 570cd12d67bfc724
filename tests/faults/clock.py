"""routeq-mqtt with a wall clock that a test sets, in every process that reads the same file.

python -m tests.faults.clock worker …: as `routeq-mqtt worker …`. The monotonic clock is left alone.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from routeq_mqtt.clock import SystemClock
from tests.cluster.process import ENTRY

VARIABLE = "ROUTEQ_TEST_CLOCK"
_OFFSET = struct.Struct("d")


class WallClock:
    """What processes are to believe; `env` makes them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "clock"
        self._path.write_bytes(_OFFSET.pack(0.0))
        with self._path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSET.size)

    @property
    def env(self) -> dict[str, str]:
        return {ENTRY: __name__, VARIABLE: str(self._path)}

    def set(self, ahead: float) -> None:
        """Seconds before the true time, from now on."""
        _OFFSET.pack_into(self._shared, 0, ahead)


def obey(path: Path) -> None:
    """Put this process's wall clock under the file's command."""
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), _OFFSET.size)
    true, true_ns = time.time, time.time_ns

    def ahead() -> float:
        return float(_OFFSET.unpack_from(shared)[0])

    time.time = lambda: true() + ahead()
    time.time_ns = lambda: true_ns() + int(ahead() * 1e9)
    SystemClock.now = staticmethod(time.time)  # it has taken the true one already


if __name__ == "__main__":
    obey(Path(os.environ[VARIABLE]))
    from routeq_mqtt.cli import main

    main()
