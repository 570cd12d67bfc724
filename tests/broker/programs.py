"""Programs and libraries of others that talk to a broker under test."""

from __future__ import annotations

import asyncio
import queue
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.cluster.recorder import TIMEOUT

NODE = Path(sys.prefix) / "node" / "node_modules"
"""Where `make mqttjs` installs mqtt.js."""


async def said(*command: str, env: dict[str, str] | None = None) -> str:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=env
    )
    async with asyncio.timeout(TIMEOUT):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


class Paho:
    """A client of paho that subscribes to what it publishes."""

    def __init__(self, version: MQTTProtocolVersion, transport: Any, name: str) -> None:
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, f"paho-{version}-{transport}", protocol=version,
            transport=transport,
        )  # fmt: skip
        self._five = version == MQTTProtocolVersion.MQTTv5
        self._topic = f"paho/{name}/{version}/{transport}"
        self._came: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._subscribed: queue.Queue[Any] = queue.Queue()
        self.client.on_message = lambda c, u, message: self._came.put(message)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self._subscribed.put(reasons)

    def connect(self, port: int) -> None:
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(f"{self._topic}/#", 2)
        assert self._subscribed.get(timeout=TIMEOUT)[0] == 2

    def exchange(self) -> None:
        """A message of each QoS, with properties where there are any."""
        for qos in (0, 1, 2):
            properties = None
            if self._five:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.UserProperty = [("k", "v")]
                properties.MessageExpiryInterval = 100
            topic = f"{self._topic}/{qos}"
            sent = self.client.publish(topic, b"x" * 10_000, qos, properties=properties)
            sent.wait_for_publish(TIMEOUT)
            message = self._came.get(timeout=TIMEOUT)
            assert (message.topic, message.qos, len(message.payload)) == (topic, qos, 10_000)
            if properties is not None:
                got: Any = message.properties
                assert got.UserProperty == [("k", "v")]
                assert got.MessageExpiryInterval in {99, 100}

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
