"""What doctor says of a broker on which groups get nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.doctor import broker, patient
from routeq_mqtt.doctor.patient import Patient
from routeq_mqtt.doctor.report import Check
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryBus, MemoryTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage


class Forgetful(MemoryTransport):
    """To a broker that keeps no session."""

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        return await super().connect(replace(options, persistent=False), on_message)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "WAIT", 0.1)


async def examined(memory: MemoryBroker, transport: MemoryTransport) -> Check:
    async with Bus(settings=Settings(), transport=transport) as bus:
        one = Patient(bus, Settings())
        one.transport = cast("Any", transport)
        return await broker.shared(one)


def mute() -> MemoryBroker:
    return MemoryBroker(BrokerOptions(shares=False))


async def test_a_broker_that_shares_is_fine() -> None:
    memory = MemoryBroker()
    assert (await examined(memory, MemoryTransport(memory))).verdict == "ok"


async def test_one_that_can_be_dealt_jobs_is_fine_until_a_scheduler_does_not(
    tmp_path: Path,
) -> None:
    memory = mute()
    found = await examined(memory, MemoryTransport(memory))
    assert (found.verdict, "will deal" in found.found) == ("ok", True)
    bus = MemoryBus(broker=memory, settings=Settings(sharing="broker"))
    try:
        await bus.scheduler(tmp_path / "routeq.db")
        found = await examined(memory, MemoryTransport(memory))
        assert (found.verdict, "ROUTEQ_SHARING" in found.fix) == ("failed", True)
    finally:
        await bus.__aexit__(None, None, None)


async def test_one_that_can_do_neither_is_refused() -> None:
    memory = mute()
    found = await examined(memory, Forgetful(memory))
    assert (found.verdict, "neither" in found.found) == ("failed", True)
