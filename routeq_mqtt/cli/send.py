"""``routeq-mqtt dispatch``: send a job by name, without its class."""

from __future__ import annotations

import json
from math import inf
from typing import Annotated, Any

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import AsJson, Url, print_json, run, settings
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.names import check_queue_name


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dispatch")(dispatch)


def dispatch(
    name: Annotated[str, typer.Argument(help="The job's wire name.")],
    values: Annotated[
        list[str] | None, typer.Argument(help="key=value; the value as JSON, else as text.")
    ] = None,
    queue: Annotated[str, typer.Option("--queue", "-q", help="Where to.")] = "default",
    delay: Annotated[float | None, typer.Option(help="Seconds until it runs.")] = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Wait until the scheduler has committed it.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a job: routeq-mqtt dispatch send_email to=a@b.c attempts=3 --queue emails."""

    async def main() -> str:
        # Before anything connects: a mistake here is no matter of the broker's.
        check_queue_name(queue, "--queue")
        if delay is not None and not 0 <= delay < inf:
            raise ConfigurationError(f"--delay={delay!r} must be 0 seconds or more")
        data = _data(values or [])
        async with Bus(settings=settings(url, outbox=True)) as bus:
            return await bus.dispatch_named(
                name, data, queue=queue, delay=delay, confirm="stored" if stored else None
            )

    job_id = run(main)
    if as_json:
        print_json({"id": job_id, "job": name, "queue": queue})
    else:
        typer.echo(job_id)


def _data(values: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{value!r} is no key=value; write for example to=a@b.c")
        try:
            data[key] = json.loads(text)
        except ValueError:
            data[key] = text
    return data
