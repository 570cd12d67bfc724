"""Runs as routeq-mqtt and counts the turns of its event loops: SIGUSR1 prints how many so far."""

from __future__ import annotations

import runpy
import selectors
import signal
import sys
from typing import Any

MODULE = "tests.cluster.counting"


class Counting(selectors.DefaultSelector):
    """Each turn of an event loop asks its selector once."""

    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        Counting.turns += 1
        return super().select(timeout)


def _print(number: int, frame: Any) -> None:
    sys.stderr.write(f"turns={Counting.turns}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    selectors.DefaultSelector = Counting  # type: ignore[misc]
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # its turns cannot be counted
    signal.signal(signal.SIGUSR1, _print)
    runpy.run_module("routeq_mqtt.cli", run_name="__main__", alter_sys=True)
