"""``routeq-mqtt events``: follow what happens to jobs, one line each."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import AsJson, Url, checked, run, settings
from routeq_mqtt.cli.processes.signals import stopping
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.display import tame
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.observe.events import EventSeen, decode_events
from routeq_mqtt.wire.plain_json import to_json

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import Message

log: logging.Logger = logging.getLogger(__name__)

_LONGEST = 300
"""Characters of a detail, such as an error: one line each."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("events")(events)


def events(
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            "-q",
            help="Only of this queue. Default: of all.",
            callback=checked(check_queue_name, "--queue"),
        ),
    ] = None,
    job: Annotated[
        str | None, typer.Option(help="Only of jobs with this name, or whose id begins like this.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after this many events. Default: run until Ctrl-C."),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Follow job events: started, done, retried, failed, progress.

    It shows events from now on; `failed list` and the dashboard show earlier failures.
    """

    async def main() -> None:
        stopped = asyncio.Event()
        complaints = Complaints(log)
        left = count

        def take(message: Message) -> None:
            nonlocal left
            try:
                seen = decode_events(message.payload)
            except UnreadableMessage as error:
                complaints.note(message.topic, error)
                return
            for one in seen:
                if not stopped.is_set() and _is_wanted(one, job):
                    typer.echo(to_json(asdict(one)) if as_json else line(one))
                    left = None if left is None else left - 1
                    if left == 0:
                        stopped.set()

        async with Bus(settings=settings(url)) as bus:
            with stopping(stopped.set):
                await bus.sender.listen([bus.sender.topics.events(queue or "+")], take)
                await stopped.wait()

    run(main)


def _is_wanted(one: EventSeen, job: str | None) -> bool:
    return job is None or one.job == job or one.id.startswith(job)


def line(one: EventSeen) -> str:
    """One event in one line; names and errors come from any publisher and repaint no terminal."""
    at = datetime.fromtimestamp(one.at).astimezone().strftime("%H:%M:%S.%f")[:-3]
    details = " ".join(
        f"{name}={str(part)[:_LONGEST]}" for name, part in one.more.items() if part is not None
    )
    text = f"{at} {one.event:9} {one.queue} {one.job} {one.id} by={one.by} {details}"
    return tame(text).replace("\n", "\\n").rstrip()
