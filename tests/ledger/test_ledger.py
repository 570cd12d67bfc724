"""The short form of ``python -m tests.ledger``."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster
from tests.ledger.run import Ledger


@pytest.mark.slow
async def test_statistics_are_what_happened(cluster: Cluster) -> None:
    if cluster.kind != "embedded":
        pytest.skip("it is about workers and scheduler: one broker is enough")
    async with cluster.bus() as bus:
        verdict = await Ledger(cluster, 3_000, workers_die=(0.3,), schedulers_die=(0.6,)).run(bus)
    [least] = [least for name, least, _, _ in verdict.rows if name == "done"]
    assert least > 300  # else one that counts nothing would do
    assert verdict.problems == [], "\n".join(verdict.text())
