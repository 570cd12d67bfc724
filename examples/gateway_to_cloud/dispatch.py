"""Sends ten orders from the site to the cloud: python -m examples.gateway_to_cloud.dispatch."""

import asyncio

from examples.gateway_to_cloud.jobs import TakeOrder
from routeq_mqtt import Bus


async def main() -> None:
    async with Bus() as bus:
        for number in range(10):
            await bus.dispatch(TakeOrder(site="bern", number=number), queue="cloud-orders")


if __name__ == "__main__":
    asyncio.run(main())
