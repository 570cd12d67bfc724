"""Where strangers get in although the address that everybody uses is shut: found from outside."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.doctor.checks import examine
from routeq_mqtt.doctor.listeners import open_places, own_addresses
from routeq_mqtt.doctor.patient import Patient
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.address import BrokerAddress
from tests.cluster.cluster import Cluster, Kind, free_port
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder
from tests.secure.cluster import SecureCluster

pytestmark = pytest.mark.slow


class OpenBed(Cluster):
    """A broker that listens on all addresses of this machine, as many are set up."""

    async def start_broker(self) -> None:
        if self.kind == "mosquitto":
            return await super().start_broker()
        bind = f"0.0.0.0:{self.port}"
        self.broker = await Process.cli("broker", "broker", "--bind", bind, env=self.env)
        return await self.listening(self.port)

    def _conf(self) -> str:
        path = self.folder / "open.conf"
        path.write_text(f"listener {self.port}\nallow_anonymous true\nuser root\n")
        return str(path)


class HalfOpenBed(SecureCluster):
    """With users and rules, but for a websocket listener."""

    web_port = 0

    def _conf(self) -> str:
        path = Path(super()._conf())
        text = path.read_text()
        web = f"listener {self.web_port} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"
        path.write_text(f"{text}\n{web}")
        return str(path)


async def found_open(settings: Settings, *places: BrokerAddress) -> list[str]:
    async with Bus(settings=settings) as bus:
        return await open_places(Patient(bus, settings), places)


async def test_a_broker_on_all_addresses_is_found_and_a_stranger_is_another(
    kind: Kind, tmp_path: Path, recorder: Recorder
) -> None:
    """127.0.0.2 is this machine, too, and not what 127.0.0.1 is bound to."""
    (tmp_path / "other").mkdir()
    everywhere, other = (
        OpenBed(kind, tmp_path, recorder),
        Cluster(kind, tmp_path / "other", recorder),
    )
    try:
        await everywhere.start_broker()
        await other.start_broker()
        address = BrokerAddress.parse(everywhere.url)
        beside = replace(address, host="127.0.0.2")
        another = BrokerAddress.parse(other.url)
        settings = Settings(url=everywhere.url)
        assert await found_open(settings, address, beside, another) == [str(beside)]
        assert await found_open(Settings(url=other.url), replace(another, host="127.0.0.2")) == []
        if own_addresses():
            checks = {check.name: check for check in await examine(settings)}
            assert checks["other listeners"].verdict == "warning"
            assert f"{own_addresses()[0]}:{address.port}" in checks["other listeners"].found
    finally:
        await everywhere.close()
        await other.close()


async def test_an_open_websocket_beside_a_shut_door_is_found(
    kind: Kind, tmp_path: Path, recorder: Recorder
) -> None:
    if kind != "mosquitto":
        pytest.skip("the embedded broker has one listener")
    cluster = HalfOpenBed(kind, tmp_path, recorder)
    cluster.web_port = free_port()
    await cluster.start_broker()
    try:
        web = BrokerAddress(host="127.0.0.1", port=cluster.web_port, websocket_path="/mqtt")
        shut = BrokerAddress(host="127.0.0.1", port=cluster.devices_port)
        settings = cluster.settings_of("operator")
        assert await found_open(settings, web, shut) == [str(web)]
    finally:
        await cluster.close()


def test_own_addresses_are_such_that_others_may_reach() -> None:
    for address in own_addresses():
        assert not ipaddress.ip_address(address).is_loopback
