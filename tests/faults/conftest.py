"""The site of the fault tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.cluster import KINDS, Cluster, mosquitto
from tests.cluster.recorder import Recorder
from tests.conftest import need_mosquitto
from tests.faults.site import Site


@asynccontextmanager
async def _site(cluster: Cluster) -> AsyncIterator[Site]:
    one = Site(cluster)
    yield one
    one.keep_logs()
    one.ledger.close()


@pytest.fixture
async def site(cluster: Cluster) -> AsyncIterator[Site]:
    async with _site(cluster) as one:
        yield one


@pytest.fixture
async def sites(tmp_path: Path, recorder: Recorder) -> AsyncIterator[list[Site]]:
    """One on every broker; see `at_once`."""
    if os.environ.get("CI") == "true":
        need_mosquitto()
    async with AsyncExitStack() as stack:
        found = []
        for kind in KINDS:
            if kind == "embedded" or mosquitto() is not None:
                (folder := tmp_path / kind).mkdir()
                cluster = Cluster(kind, folder, recorder)
                stack.push_async_callback(cluster.close)
                await cluster.start_broker()
                found.append(await stack.enter_async_context(_site(cluster)))
        yield found
