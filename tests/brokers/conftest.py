"""Real brokers, each in turn, with a scheduler that deals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.foreign import ForeignCluster, nats, rabbitmq
from tests.cluster.recorder import Recorder
from tests.conftest import need_mosquitto

INSTALLED = {"rabbitmq": rabbitmq, "nats": nats}


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
        one = ForeignCluster(name, tmp_path, recorder)
    one.extra_env["ROUTEQ_SHARING"] = "scheduler"
    try:
        await one.start_broker()
        yield one
    finally:
        await one.close()
