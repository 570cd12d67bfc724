"""Dispatch from inside an MQTT message handler: each message of a device becomes a job."""

from __future__ import annotations

import asyncio
import sys

import aiomqtt

from examples.mqtt_handler.jobs import CheckDoor
from routeq_mqtt import Bus


async def main(messages: int) -> None:
    async with Bus() as bus:
        address = bus.settings.address()
        async with aiomqtt.Client(address.host, address.port) as client:
            await client.subscribe("doors/+/state", qos=1)
            print("listening", flush=True)
            async for message in client.messages:
                door = str(message.topic).split("/")[1]
                await bus.dispatch(CheckDoor(door=door, is_open=message.payload == b"open"))
                messages -= 1
                if not messages:
                    return


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
