"""Fixtures of the conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import need_mosquitto
from tests.transport.subjects import Subject, subject_of

LIKE_MOSQUITTO = ["memory 5", "memory 3.1.1", "mosquitto 5", "mosquitto 3.1.1"]
ALL = [*LIKE_MOSQUITTO, "tls mosquitto", "websocket mosquitto", "embedded 5", "embedded 3.1.1"]


def _params(names: list[str]) -> list[object]:
    slow = [pytest.mark.slow]
    return [pytest.param(n, marks=slow if "mosquitto" in n else []) for n in names]


@pytest.fixture(params=_params(ALL))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each implementation of the seam, over each kind of broker."""
    if "mosquitto" in request.param:
        need_mosquitto()
    async with subject_of(request.param, tmp_path) as one:
        yield one


@pytest.fixture(params=_params(LIKE_MOSQUITTO))
async def mosquitto_like(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """mosquitto, and the broker in memory that must be as bad."""
    if "mosquitto" in request.param:
        need_mosquitto()
    async with subject_of(request.param, tmp_path) as one:
        yield one
