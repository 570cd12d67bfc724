"""Send one email, then a hundred in one go."""

from __future__ import annotations

import asyncio

from examples.send_email.jobs import SendEmail
from routeq_mqtt import Bus


async def main() -> None:
    async with Bus() as bus:
        job_id = await bus.dispatch(SendEmail(to="ada@example.org", subject="Hi"))
        print(f"dispatched {job_id}")
        ids = await bus.bulk(SendEmail(to=f"user{n}@example.org") for n in range(100))
        print(f"dispatched {len(ids)} more")


if __name__ == "__main__":
    asyncio.run(main())
