"""Loses a retained message as a broker or a hand may: it is there, and then it is not."""

from __future__ import annotations

import asyncio

from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions, Message
from tests.cluster.recorder import TIMEOUT


async def clear_when(url: str, topic: str, words: bytes) -> str:
    """Wait until a retained message holds some words, and clear it; its topic.

    Args:
        url: of the broker.
        topic: a filter.
        words: what the message to be cleared holds.
    """
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def take(message: Message) -> None:
        if words in message.payload and not found.done():
            found.set_result(message.topic)

    transport = AioTransport(Settings(url=url).address())
    connection = await transport.connect(ConnectOptions("clears-retained"), take)
    try:
        await connection.subscribe(topic)
        async with asyncio.timeout(TIMEOUT):
            await connection.publish(await found, b"", retain=True)
    finally:
        await connection.close()
    return found.result()
