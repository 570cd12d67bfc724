"""A broker in this process, and whatever a test wants it to be limited to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from routeq_broker import Broker

Start = Callable[..., Awaitable[Broker]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts brokers on free ports; they are stopped at the end."""
    brokers: list[Broker] = []

    async def begin(**options: Any) -> Broker:
        broker = Broker(options.pop("bind", "127.0.0.1:0"), **options)
        await broker.start()
        brokers.append(broker)
        return broker

    yield begin
    for broker in brokers:
        await broker.stop()
