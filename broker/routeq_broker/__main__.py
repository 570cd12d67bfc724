"""``python -m routeq_broker --bind 127.0.0.1:1883 --db broker.db``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from routeq_broker.access.acl import Acl
from routeq_broker.access.doorkeeper import Doorkeeper
from routeq_broker.access.users import Users
from routeq_broker.broker import Broker
from routeq_broker.errors import BrokerError
from routeq_broker.options import Limits


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    users = Users.read(*arguments.users) if arguments.users else None
    acl = Acl.read(*arguments.acl) if arguments.acl else None
    broker = Broker(
        arguments.bind or "127.0.0.1:1883",
        ws_bind=arguments.ws_bind,
        db=arguments.db,
        doorkeeper=Doorkeeper(users, acl),
        limits=arguments.limit,
    )
    async with broker:
        print(f"listening on port {broker.port}", flush=True)  # noqa: T201 - for whoever started us
        await stopped.wait()


def main() -> int:
    """Run a broker until SIGTERM."""
    parser = argparse.ArgumentParser(prog="routeq_broker", description=__doc__)
    parser.add_argument(
        "--bind", action="append", default=[],
        help="address and port, also mqtts://…, ws://…, unix:/path; repeatable",
    )  # fmt: skip
    parser.add_argument("--ws-bind", action="append", default=[], help="websockets; repeatable")
    parser.add_argument("--db", help="SQLite file; without it a crash loses what is held")
    parser.add_argument("--users", action="append", default=[], type=Path, help="mosquitto_passwd")
    parser.add_argument("--acl", action="append", default=[], type=Path, help="an acl_file")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=VALUE",
        help="one limit, such as connections=500; repeatable",
    )  # fmt: skip
    arguments = parser.parse_args()
    limits = (one.partition("=") for one in arguments.limit)
    try:
        arguments.limit = Limits.parse({name: value for name, _, value in limits})
    except ValueError as error:
        parser.error(f"--limit: {error}")
    logging.basicConfig(level=logging.INFO)
    try:
        asyncio.run(_serve(arguments))
    except BrokerError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
