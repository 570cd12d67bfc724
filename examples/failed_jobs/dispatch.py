"""Dispatch jobs that fail, then list their failed records."""

from __future__ import annotations

import asyncio
from typing import Any

from examples.failed_jobs.jobs import ChargeCard
from routeq_mqtt import Bus


async def main() -> None:
    async with Bus() as bus:
        for card in ("good", "busy", "stolen", "broken"):
            await bus.dispatch(ChargeCard(card=card))
        records: list[dict[str, Any]] = []
        while len(records) < 2:
            records = await bus.requests.call("failed.list", queue="payments")
        for record in sorted(records, key=lambda one: str(one["error"])):
            print(f"{record['reason']}: {record['error']}")


if __name__ == "__main__":
    asyncio.run(main())
