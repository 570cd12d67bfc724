"""``routeq-mqtt health``: one quick yes or no, for a container's health check."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import FAILED, Url, err, out

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(health)


def health(
    scheduler: Annotated[
        bool, typer.Option("--scheduler", help="A scheduler must answer, too.")
    ] = False,
    worker: Annotated[
        bool, typer.Option("--worker", help="A worker on this host must be online, too.")
    ] = False,
    url: Url = None,
) -> None:
    """Say whether the broker answers. Exit code 0: yes; `doctor` says more."""

    async def act(bus: Bus) -> bool:
        if scheduler:
            await bus.requests.call("ping")
        if worker:
            await bus.sizes.refresh()
            here = socket.gethostname()
            return any(status.host == here for status in bus.sizes.fleet.online())
        return True

    if not on_bus(url, act):
        err.print(f"no worker on {socket.gethostname()} is online", style="red")
        raise typer.Exit(FAILED)
    out.print("ok")
