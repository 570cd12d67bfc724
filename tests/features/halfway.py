"""A producer that stops between two messages of a batch, and waits to be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from routeq_mqtt import Bus, batch
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.features.jobs import Part


class HalfWay(Bus):
    """Says that the first message is stored, and sends no other."""

    async def store(
        self, envelopes: Sequence[Envelope], *, timeout: float | None = None, **more: Any
    ) -> list[str]:
        await super().store(envelopes, timeout=timeout, **more)
        print(f"sent {more['batch']['id']}", flush=True)  # noqa: T201
        return await asyncio.Future()


async def main() -> None:
    async with HalfWay() as bus:
        parts = (Part(key=f"part {n}") for n in range(1_200))
        await batch(parts).then(Part(key="then")).finally_(Part(key="finally")).dispatch(bus)


if __name__ == "__main__":
    asyncio.run(main())
