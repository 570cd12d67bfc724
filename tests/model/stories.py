"""Runs of the model whose plan is written by hand, inside of a test."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.model.plan import Fault, Plan, Sending


def plan(*sendings: Sending, faults: list[Fault], concurrency: int = 1) -> Plan:
    """One queue, one worker, MQTT 5, no latency."""
    return Plan(True, True, 0.0, ("a",), 1, concurrency, 0, list(sendings), faults)


def sending(at: float, **said: Any) -> Sending:
    """A stored job that takes two seconds."""
    usual: dict[str, Any] = {
        "queue": "a",
        "confirm": "stored",
        "delay": 0.0,
        "seconds": 2.0,
        "fails": 0,
    }
    usual |= {"at": at, "wait": 0.0, "hopeless": False}
    return Sending(**(usual | said))


@pytest.fixture(autouse=True)
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Coroutines of killed processes complain when they are thrown away: they are, here."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    with warnings.catch_warnings(action="ignore"):
        yield
        gc.collect()
