"""The fuzzer and the floods in their short forms; see `make fuzz`, `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.floods import FLOODS, Attack, Start, suffered
from tests.broker.fuzz import fuzz
from tests.broker.server import server


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_packet_breaks_it(tmp_path: Path, seed: int) -> None:
    with server("embedded", tmp_path) as target:
        report = await fuzz(target, seed, 4.0)
        assert report.packets > 100


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "attacks", "login"), FLOODS)
async def test_no_flood_keeps_others_out(
    tmp_path: Path, begin: Start, attacks: tuple[Attack, ...], login: dict[str, str]
) -> None:
    """Another client is served all the time, and never waits as long as a worker's keep-alive."""
    with begin("embedded", tmp_path) as target:
        for attack in attacks:
            assert await suffered(target, attack, **login) < 5_000, attack.__name__
        assert not target.tracebacks()
