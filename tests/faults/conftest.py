"""The site of the fault tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.bed.bed import Bed
from tests.faults.site import Site


@pytest.fixture
async def site(bed: Bed) -> AsyncIterator[Site]:
    one = Site(bed)
    yield one
    one.keep_logs()
    one.ledger.close()
