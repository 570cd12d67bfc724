"""``python -m routeq_broker --bind 127.0.0.1:1883 --db broker.db``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from routeq_broker.broker import Broker
from routeq_broker.errors import BrokerError


async def _serve(bind: str, db: str | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with Broker(bind, db=db) as broker:
        print(f"listening on port {broker.port}", flush=True)  # noqa: T201 - for whoever started us
        await stopped.wait()


def main() -> int:
    """Run a broker until SIGTERM."""
    parser = argparse.ArgumentParser(prog="routeq_broker", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:1883", help="address and port")
    parser.add_argument("--db", help="SQLite file; without it a crash loses what is held")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    try:
        asyncio.run(_serve(arguments.bind, arguments.db))
    except BrokerError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
