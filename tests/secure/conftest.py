"""A broker with TLS, users and access rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Kind
from tests.cluster.recorder import Recorder
from tests.secure.cluster import SecureCluster


@pytest.fixture
async def secure(kind: Kind, tmp_path: Path, recorder: Recorder) -> AsyncIterator[SecureCluster]:
    one = SecureCluster(kind, tmp_path, recorder)
    await one.start_broker()
    try:
        yield one
    finally:
        await one.close()
