"""Durable publishes of many connections share one commit, and none waits for company."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from routeq_broker.storage.database import Database
from tests.broker.conftest import Start
from tests.broker.wire import PUBACK, Wire, publish


async def test_what_comes_during_a_commit_is_one_commit(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    begun, go_on = asyncio.Event(), threading.Event()
    write, loop = Database.write, asyncio.get_running_loop()

    def writing(database: Database, batch: Any) -> None:
        sizes.append(len(batch.saved))
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(10)
        write(database, batch)

    broker = await start(db=tmp_path / "broker.db")
    wires = [await Wire.login(broker.port, f"c{number}") for number in range(40)]
    monkeypatch.setattr(Database, "write", writing)
    for number, wire in enumerate(wires):
        wire.send(publish(f"$queue/{number}", b"x", qos=1))
        if number == 0:
            async with asyncio.timeout(10):
                await begun.wait()  # the first one is written at once, alone
        else:
            await wire.barrier()  # taken in; its PUBACK waits
    go_on.set()
    for wire in wires:
        await wire.get(PUBACK)
    assert sizes == [1, 39]
