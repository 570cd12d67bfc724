"""Clients that people use: mosquitto's, paho, aiomqtt and mqtt.js; umqtt is in tests/edge."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.broker.programs import NODE, Paho, said
from tests.broker.server import Server, server
from tests.cluster.recorder import TIMEOUT


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("embedded", tmp_path_factory.mktemp("clients")) as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
async def test_mosquittos_clients(
    target: Server, mosquitto_pub: str, version: str, qos: int
) -> None:
    topic, port = f"mosquitto/{version}/{qos}", str(target.port)
    flags = ("-p", port, "-V", version, "-q", str(qos), "-t", topic)
    pub = (mosquitto_pub, *flags)
    await said(*pub, "-m", "kept", "-r")
    sub = (mosquitto_pub.replace("mosquitto_pub", "mosquitto_sub"), *flags)
    receiving = asyncio.create_task(said(*sub, "-C", "2", "-F", "%t %q %r %p"))
    while not receiving.done():
        await said(*pub, "-m", "live")
        await asyncio.sleep(0.1)
    kept, live = receiving.result().splitlines()
    assert kept == f"{topic} {qos} 1 kept"
    assert live == f"{topic} {qos} 0 live"


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["tcp", "websockets"])
@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_paho(target: Server, version: MQTTProtocolVersion, transport: Any) -> None:
    client = Paho(version, transport, "plain")
    client.connect(target.port if transport == "tcp" else target.ws_port)
    client.exchange()
    client.stop()


@pytest.mark.slow
@pytest.mark.parametrize("version", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5])
async def test_aiomqtt(target: Server, version: aiomqtt.ProtocolVersion) -> None:
    async with (
        asyncio.timeout(TIMEOUT),
        aiomqtt.Client("127.0.0.1", target.port, protocol=version) as client,
    ):
        await client.subscribe(f"aio/{version}/#", 2)
        for qos in (0, 1, 2):
            await client.publish(f"aio/{version}/{qos}", b"x" * 300, qos)
        seen = []
        async for message in client.messages:
            seen.append(message.qos)
            if len(seen) == 3:
                break
        assert seen == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["4", "5"])
@pytest.mark.parametrize("scheme", ["mqtt", "ws"])
async def test_mqtt_js(target: Server, scheme: str, level: str) -> None:
    node = shutil.which("node")
    if node is None or not (NODE / "mqtt").exists():
        pytest.skip("node or mqtt.js is not installed: make mqttjs")
    port = target.port if scheme == "mqtt" else target.ws_port
    program = str(Path(__file__).parent / "client.mjs")
    output = await said(node, program, str(NODE), f"{scheme}://127.0.0.1:{port}", level)
    assert output.strip() == "ok"
