"""``routeq-mqtt workers``: the fleet, once or for as long as somebody watches."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import AsJson, Url, out, print_json, run, settings
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.cli.processes.signals import stopping
from routeq_mqtt.errors import RouteqError
from routeq_mqtt.presence.status import SILENT_AFTER
from routeq_mqtt.tasks import Scope
from routeq_mqtt.wire.plain_json import to_json

if TYPE_CHECKING:
    from routeq_mqtt.presence.fleet import Fleet, Member

_LOOK_EVERY = 1.0
"""Seconds between two looks at the clock: ages grow without a message."""

_REST = 0.1
"""Seconds between two pictures at least: a busy fleet says something hundreds of times a second."""

_NOBODY = "no worker is there; start one: routeq-mqtt worker"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("workers")(workers)


def workers(
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Keep running and show each change; Ctrl-C ends it."),
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the workers. Needs no scheduler.

    With --watch the table stays and is updated. If the output is not a terminal, the table, or with
    --json one line of JSON, is printed again at each change.
    """

    async def main() -> None:
        async with Bus(settings=settings(url)) as bus:
            await bus.sizes.refresh()
            if watch:
                await _watch(bus, as_json=as_json)
            elif as_json:
                print_json(_plain(bus.sizes.fleet))
            else:
                _print(bus.sizes.fleet)

    run(main)


def _shown(fleet: Fleet) -> list[Member]:
    """Every worker but those that are over."""
    return [
        member
        for member in fleet.members.values()
        if member.status is not None and member.status.state != "adopted"
    ]


def _plain(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        asdict(member.status) | {"load": asdict(member.load)}
        for member in _shown(fleet)
        if member.status is not None
    ]


def _print(fleet: Fleet) -> None:
    members = _shown(fleet)
    out.print(_table(members) if members else _NOBODY)


def _table(members: list[Member]) -> Table:
    columns = ("state", "queues", "running", "waiting", "done", "failed", "up")
    table = Table("worker", *columns, whole=1)
    for member in members:
        if member.status is not None:
            up = max(0.0, time.time() - member.status.started_at)
            table.add_row(*_cells(member), f"{up:.0f} s")
    return table


def _cells(member: Member) -> tuple[str, ...]:
    """What is reported about a worker, without what the clock alone changes."""
    status, load = member.status, member.load
    if status is None:
        return ()
    state: str = status.state
    if state == "online" and load.drained:
        state = "drained"
    elif state == "online" and time.monotonic() - member.heard_at > SILENT_AFTER:
        state = "silent"
    return (
        status.id,
        state,
        ",".join(status.queues),
        f"{sum(load.active.values())}/{status.concurrency}",
        str(sum(load.waiting.values())),
        str(load.counters.get("done", 0)),
        str(load.counters.get("failed", 0)),
    )


async def _watch(bus: Bus, *, as_json: bool) -> None:
    """Show the fleet until the process is told to stop."""
    stopped = asyncio.Event()
    picture = nullcontext() if as_json else out.picture()
    seen: list[tuple[str, ...]] | None = None
    with stopping(stopped.set), picture as drawn:
        while not stopped.is_set():
            if bus.sender.link.connection is not None and not bus.sizes.is_settled:
                with suppress(RouteqError):  # the broker is away again
                    await bus.sizes.refresh()
            before = bus.sizes.changed.fired
            members = _shown(bus.sizes.fleet)
            cells = [_cells(member) for member in members]
            if drawn is not None:
                drawn(_table(members) if members else _NOBODY, _about(bus))
            elif cells != seen:
                _say_again(bus.sizes.fleet, as_json=as_json)
            seen = cells
            async with Scope() as scope:
                ending = scope.start(stopped.wait(), "watch-stop")
                await asyncio.wait({ending}, timeout=_REST)
                changed = scope.start(bus.sizes.changed.wait(_LOOK_EVERY, since=before), "changed")
                await asyncio.wait({ending, changed}, return_when=asyncio.FIRST_COMPLETED)


def _about(bus: Bus) -> str:
    away = bus.sender.link.connection is None
    return "the broker is away; this is what was known" if away else "Ctrl-C ends this"


def _say_again(fleet: Fleet, *, as_json: bool) -> None:
    if as_json:
        typer.echo(to_json(_plain(fleet)))
    else:
        _print(fleet)
