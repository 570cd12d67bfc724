"""A cluster for tests of processes and signals, where the broker makes no difference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.recorder import Recorder
from tests.conftest import need_mosquitto


@pytest.fixture
async def mosquitto_alone(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Cluster]:
    """mosquitto alone."""
    need_mosquitto()
    cluster = Cluster("mosquitto", tmp_path, recorder)
    await cluster.start_broker()
    try:
        yield cluster
    finally:
        await cluster.close()
