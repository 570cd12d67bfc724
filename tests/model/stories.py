"""Runs of the model whose plan is written by hand: ``python -m tests.model.stories``, one report
a line. In a process of its own, since what is left of killed processes complains when it goes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from tests.model.plan import Fault, Plan, Sending
from tests.model.world import run_world


def plan(*sendings: Sending, faults: list[Fault]) -> Plan:
    """One queue, one worker with one slot, MQTT 5, no latency."""
    return Plan(True, True, 0.0, ("a",), 1, 1, 0, list(sendings), faults)


def sending(at: float, **said: Any) -> Sending:
    """A stored job that takes two seconds."""
    usual: dict[str, Any] = {"queue": "a", "confirm": "stored", "delay": 0.0, "seconds": 2.0}
    usual |= {"at": at, "fails": 0, "wait": 0.0, "hopeless": False}
    return Sending(**(usual | said))


def _outage(lasts: float) -> list[Fault]:
    """The broker goes while the job runs; its worker is told to stop before it is back."""
    return [Fault(2.0, "restart broker", 1, lasts), Fault(4.0, "stop worker", 1, 0.0)]


def _power_cut() -> list[Fault]:
    """All at once, before mosquitto has saved anything."""
    return [Fault(0.5, f"kill {what}", 1, 0.5) for what in ("broker", "worker", "scheduler")]


STORIES = {
    "plain, short outage": plan(sending(1.0, confirm="broker"), faults=_outage(20.0)),
    "stored, short outage": plan(sending(1.0), faults=_outage(20.0)),
    "plain, long outage": plan(sending(1.0, confirm="broker"), faults=_outage(60.0)),
    "stored, long outage": plan(sending(1.0), faults=_outage(60.0)),
    "power cut": plan(sending(0.2, seconds=9.0), sending(5.0), faults=_power_cut()),
}


class _Lines(logging.Handler):
    """What the library logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    sys.unraisablehook = lambda unraisable: None
    warnings.simplefilter("ignore", RuntimeWarning)
    for name, one in STORIES.items():
        said = _Lines()
        logging.getLogger("routeq_mqtt").addHandler(said)
        with tempfile.TemporaryDirectory() as folder:
            verdict = run_world(1, one, Path(folder))
        logging.getLogger("routeq_mqtt").removeHandler(said)
        report = {"good": verdict.good, "runs": verdict.runs, "trace": verdict.trace}
        print(json.dumps({"story": name, "said": said.lines} | report))  # noqa: T201
    sys.stdout.flush()
    os._exit(0)  # nobody tidies up


if __name__ == "__main__":
    main()
