"""Dispatch a report with a delay: the argument in seconds, by default an hour."""

from __future__ import annotations

import asyncio
import sys

from examples.report_later.jobs import MakeReport
from routeq_mqtt import close_default_bus, queue


async def main(seconds: float) -> None:
    job_id = await queue.later(seconds, MakeReport(customer=42))
    size = await queue.size("reports")
    print(f"dispatched {job_id}; delayed now: {size.delayed}")
    await close_default_bus()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 3600))
