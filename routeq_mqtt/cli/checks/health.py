"""``routeq-mqtt health``: one quick yes or no, for a container's health check."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.bus.features.standbys import find_standbys
from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import FAILED, AsJson, Url, err, out, print_json
from routeq_mqtt.wire.messages.requests import Ping

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(health)


def health(
    scheduler: Annotated[
        bool, typer.Option("--scheduler", help="Also require a scheduler that answers.")
    ] = False,
    worker: Annotated[
        bool, typer.Option("--worker", help="Also require an online worker on this host.")
    ] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="Also require a standby scheduler.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check that the broker answers, for health probes. Exit code 0: yes. `doctor` checks more."""

    async def act(bus: Bus) -> str:
        if scheduler:
            await bus.requests.ask(Ping())
            if bus.sender.surroundings.trouble:
                return f"the scheduler {bus.sender.surroundings.trouble}"
        if worker:
            await bus.sizes.refresh()
            here = socket.gethostname()
            if not any(status.host == here for status in bus.sizes.fleet.online()):
                return f"no worker on {here} is online"
        if standby and not await find_standbys(bus.sender):
            return "no standby scheduler waits to take over"
        return ""

    wrong = on_bus(url, act)
    if as_json:
        print_json({"ok": not wrong, "problem": wrong or None})
    elif wrong:
        err.print(wrong, style="red")
    else:
        out.print("ok")
    if wrong:
        raise typer.Exit(FAILED)
