"""Real brokers, each in turn, with a scheduler that deals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.nodes import INSTALLED, NodesCluster
from tests.cluster.recorder import Recorder
from tests.conftest import need_mosquitto


@pytest.fixture(params=["mosquitto", *INSTALLED])
async def dealing(
    request: pytest.FixtureRequest, tmp_path: Path, recorder: Recorder
) -> AsyncIterator[Cluster]:
    """A broker that runs; the scheduler that is started on it deals."""
    name = request.param
    if name == "mosquitto":
        need_mosquitto()
        one = Cluster("mosquitto", tmp_path, recorder)
    elif INSTALLED[name]() is None:
        pytest.skip(f"{name} is not installed")
    else:
        one = NodesCluster(name, tmp_path, recorder)
    one.extra_env["ROUTEQ_SHARING"] = "scheduler"
    try:
        await one.start_broker()
        yield one
    finally:
        await one.close()
