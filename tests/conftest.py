"""Fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from tests.bed.bed import KINDS, Bed, Kind, mosquitto
from tests.bed.memory import MemoryBed
from tests.bed.recorder import Recorder

# No deadline: no test is about time. Few examples where a commit waits, many where nobody does.
settings.register_profile("commit", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=300, deadline=None)
settings.load_profile("thorough" if os.environ.get("CI") == "true" else "commit")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test on every broker; one marked `stock` also on a mosquitto without configuration.

    One marked `memory` also without a process, and one of those marked `processes` not.
    """
    if "kind" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    kinds: list[Kind] = [*KINDS]
    if "stock" in marks:
        kinds.append("stock")
    if "memory" in marks and "processes" not in marks:
        kinds.append("memory")
    metafunc.parametrize("kind", kinds, indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    if chosen in {"mosquitto", "stock"}:
        need_mosquitto()
    return chosen


@pytest.fixture
def mosquitto_pub() -> str:
    """What a device publishes with; a package of its own beside the broker."""
    found = shutil.which("mosquitto_pub")
    if found is None:
        missing()
    return str(found)


def need_mosquitto() -> None:
    """Skip the test where there is no mosquitto; fail it where there must be one."""
    if mosquitto() is None:
        missing()


def missing() -> NoReturn:
    """End a test that needs what is not installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(
            "mosquitto is missing; the continuous integration must install it and its clients"
        )
    pytest.skip("mosquitto is not installed")


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    one = Recorder()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def bed(kind: Kind, tmp_path: Path, recorder: Recorder) -> AsyncIterator[Bed]:
    """A broker that runs, and nothing else."""
    one = MemoryBed(tmp_path, recorder) if kind == "memory" else Bed(kind, tmp_path, recorder)
    await one.start_broker()
    try:
        yield one
    finally:
        await one.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes are slow: part of `make test`, left out of `make check`."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec is not None else {}
        if "bed" in getattr(item, "fixturenames", ()) and params.get("kind") != "memory":
            item.add_marker(pytest.mark.slow)
