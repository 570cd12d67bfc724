"""A broker with TLS, users and access rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bed.bed import Kind
from tests.bed.recorder import Recorder
from tests.secure.bed import SecureBed


@pytest.fixture
async def secure(kind: Kind, tmp_path: Path, recorder: Recorder) -> AsyncIterator[SecureBed]:
    one = SecureBed(kind, tmp_path, recorder)
    await one.start_broker()
    try:
        yield one
    finally:
        await one.close()
