"""``routeq-mqtt devices``, ``broadcast`` and ``rollout``: jobs for named devices."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.asking import on_bus, on_first_use
from routeq_mqtt.cli.common import AsJson, Url, checked, err, is_name, out, pairs, print_json, when
from routeq_mqtt.cli.manage.rates import parse_rate
from routeq_mqtt.cli.manage.send import job_data
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.errors import ConfigurationError, RouteqError
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.bus.features.devices import RolloutProgress
    from routeq_mqtt.bus.features.manage import DeviceInfo


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("devices")(devices)
    app.command("broadcast")(broadcast)
    app.command("rollout")(rollout)


def devices(
    forget: Annotated[
        str | None,
        typer.Option(
            help="Forget a device that is gone: it gets no more broadcasts.",
            callback=checked(check_queue_name, "--forget"),
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List devices (workers with a --name), online or not, with their tags."""

    async def act(bus: Bus) -> list[DeviceInfo]:
        if forget is not None:
            await bus.devices.forget(forget)
        return await bus.devices.list()

    found = on_bus(url, act)
    if as_json:
        print_json([asdict(device) for device in found])
        return
    table = Table("device", "state", "seen", "tags")
    for device in found:
        tags = " ".join(f"{key}={value}" for key, value in sorted(device.tags.items()))
        table.add_row(
            device.name, "online" if device.online else "away", when(device.seen_at), tags
        )
    out.print(table)


def broadcast(
    name: Annotated[
        str, typer.Argument(help="Name of the job: its class's name, unless that sets another.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data of the job, field=value; a value is read as JSON if it is, else as text."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", help="A tag that a device must have, key=value. Repeatable; all must match."
        ),
    ] = None,
    expires_in: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which a device does not run it any more. Default: no limit."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="Devices per time at most: 10/m, 5/30s; default: all at once."),
    ] = None,
    abort_after: Annotated[
        str | None,
        typer.Option(help="Stop after this many failures (5), or this share of the devices (0.1)."),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a job to devices by tag: routeq-mqtt broadcast Update --where site=north."""

    async def act(bus: Bus) -> tuple[str, int | None]:
        made = await bus.broadcast_named(
            name,
            job_data(values or []),
            where=pairs(where or [], "--where"),
            expires_in=expires_in,
            rate=None if rate is None else parse_rate(rate, "--rate"),
            abort_after=None if abort_after is None else _failures(abort_after),
        )
        try:
            return made.id, (await made.progress()).total
        except RouteqError:  # it is made all the same
            return made.id, None

    made, devices = on_first_use(url, act)
    if as_json:
        print_json({"id": made, "job": name, "devices": devices})
    else:
        typer.echo(made)
    if devices == 0:
        err.print("no device gets it: none that is known has these tags; see routeq-mqtt devices")


def rollout(
    broadcast_id: Annotated[
        str, typer.Argument(help="Id of the broadcast.", callback=checked(is_name, "broadcast_id"))
    ],
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Stop it: no further device gets the job.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the progress of a broadcast, or stop it."""

    async def act(bus: Bus) -> RolloutProgress:
        handle = bus.rollout(broadcast_id)
        return await (handle.cancel() if cancel else handle.progress())

    progress = on_bus(url, act)
    if as_json:
        print_json(progress.as_dict())
        return
    counted = ("waiting", "running", "done", "failed", "cancelled")
    counts = ", ".join(f"{getattr(progress, name)} {name}" for name in counted)
    aborted = "; aborted: too many failed" if progress.aborted_at is not None else ""
    out.print(f"{progress.name}: {progress.total} devices: {counts}{aborted}")


def _failures(text: str) -> float:
    """A number of failures, or with a point a share: 1 is one failure, 1.0 is all devices."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise ConfigurationError(
            f"--abort-after={shown(text)} must be a number of failures, or a share: 0.1"
        ) from None
