"""``routeq-mqtt dispatch``: send a job by name, without its class."""

from __future__ import annotations

import json
import time
from math import inf
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routeq_mqtt.cli.asking import on_first_use
from routeq_mqtt.cli.common import AsJson, Url, checked, err, print_json, seconds_above_0
from routeq_mqtt.errors import ConfigurationError, RouteqError
from routeq_mqtt.wire.names import check_chosen_name, device_queue

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dispatch")(dispatch)


def _not_negative(value: float, where: str) -> None:
    if not 0 <= value < inf:
        raise ConfigurationError(f"{where}={value!r} must be 0 seconds or more")


def dispatch(
    name: Annotated[
        str, typer.Argument(help="Name of the job: its class's name, unless that sets another.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data of the job, field=value; a value is read as JSON if it is, else as text."
        ),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            "-q",
            help="Queue; default: 'default', whatever the job's class says.",
            callback=checked(check_chosen_name, "--queue"),
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Name of the worker that runs it: its --name.",
            callback=checked(device_queue, "--to"),
        ),
    ] = None,
    delay: Annotated[
        float | None,
        typer.Option(
            help="Seconds to wait before it runs. Default: 0.",
            callback=checked(_not_negative, "--delay"),
        ),
    ] = None,
    expires_in: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which it is not run any more, but becomes a failed record.",
            callback=checked(seconds_above_0, "--expires-in"),
        ),
    ] = None,
    stored: Annotated[
        bool,
        typer.Option(
            "--stored", help="Return only when the scheduler has committed the job to disk."
        ),
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a job: routeq-mqtt dispatch send_email to=a@b.c subject=Hello --queue emails."""

    async def act(bus: Bus) -> str:
        handle = await bus.dispatch_named(
            name,
            job_data(values or []),
            queue=queue,
            to=to,
            delay=delay,
            expires_at=None if expires_in is None else time.time() + expires_in,
            confirm="stored" if stored else None,
        )
        return handle.id

    async def send(bus: Bus) -> tuple[str, bool]:
        return await act(bus), await _is_served(bus, _queue(queue, to))

    job_id, is_served = on_first_use(url, send, outbox=True)
    if as_json:
        print_json({"id": job_id, "job": name, "queue": _queue(queue, to), "has_worker": is_served})
        return
    typer.echo(job_id)
    if not is_served:
        err.print(f"(no worker serves {_queue(queue, to)!r} now: the job waits for one)")


async def _is_served(bus: Bus, queue: str) -> bool:
    """Whether a worker for a queue is online; also where the bus cannot say."""
    if bus.sender.link.connection is None:
        return True  # it is in the outbox
    try:
        await bus.sizes.refresh()
    except RouteqError:  # it was sent all the same
        return True
    return bool(bus.sizes.fleet.online(queue))


def _queue(queue: str | None, to: str | None) -> str:
    return queue or "default" if to is None else device_queue(to, "--to")


def job_data(values: list[str]) -> dict[str, Any]:
    """A job's attributes from key=value.

    Raises:
        ConfigurationError: one is not.
    """
    data: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{value!r} is not key=value; write for example to=a@b.c")
        if key in data:
            raise ConfigurationError(f"{key}: it is given twice; name each attribute once")
        try:
            data[key] = json.loads(text)
        except ValueError:
            data[key] = text
    return data
