"""``routeq-mqtt outbox …``: what waits on this machine, and sending it now."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import (
    FAILED,
    AsJson,
    Url,
    checked,
    err,
    out,
    print_json,
    run,
    seconds_above_0,
    settings,
)
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.outbox.outbox import Outbox

if TYPE_CHECKING:
    from routeq_mqtt.outbox.rows import OutboxStatus
    from routeq_mqtt.settings.settings import Settings

app: typer.Typer = typer.Typer(no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option("--outbox", help="File of the outbox.", envvar="ROUTEQ_OUTBOX", dir_okay=False),
]


def _settings(url: str | None, file: Path | None) -> Settings:
    found = settings(url, outbox=True)
    if file is None:
        raise ConfigurationError("no outbox is named; say --outbox FILE, or set ROUTEQ_OUTBOX")
    if not file.exists():
        raise ConfigurationError(f"outbox={str(file)!r}: there is no such file")
    return replace(found, outbox=str(file))


@app.command()
def status(file: File = None, as_json: AsJson = False) -> None:
    """Show how many jobs wait in the outbox, and which the broker refused. Needs no broker."""

    async def main() -> tuple[OutboxStatus, str | None]:
        options = _settings(None, file).outbox_options()
        assert options is not None  # noqa: S101 - named above
        outbox = Outbox(options, SystemClock())
        try:
            found = await outbox.status()
            return found, outbox.lock.holder() if outbox.lock.is_held() else None
        finally:
            await outbox.close()

    found, pid = run(main)
    if as_json:
        print_json(asdict(found) | {"forwarder": None if pid is None else int(pid)})
        return
    since = "" if found.oldest is None else f", the oldest for {time.time() - found.oldest:.0f} s"
    out.print(f"{found.jobs} jobs of {found.bytes} bytes wait{since}")
    out.print(f"forwarded by process {pid}" if pid else "no process forwards them now")
    if found.dropped:
        out.print(f"{found.dropped} jobs were dropped for room", style="yellow")
    if found.aside_jobs:
        out.print(f"{found.aside_jobs} jobs were refused and set aside:", style="red")
    for job in found.aside:
        out.print(f"  {job.id} queue={job.queue} bytes={job.size}: {job.error}")


@app.command()
def flush(
    file: File = None,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds to keep trying.", callback=checked(seconds_above_0, "--timeout")
        ),
    ] = 60.0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send all jobs now, refused ones included. Exit code 1: some are left."""

    async def main() -> tuple[OutboxStatus, str]:
        bus = Bus(settings=replace(_settings(url, file), outbox_linger=0.0))
        try:
            outgoing = bus.outgoing
            assert outgoing is not None  # noqa: S101 - named above
            await outgoing.outbox.bring_back()
            await outgoing.flush(timeout)
            forwarder = outgoing.forwarder
            error = forwarder.trouble if forwarder is not None else None
            return await outgoing.outbox.status(), "" if error is None else str(error)
        finally:
            await bus.close()

    left, error = run(main)
    if as_json:
        print_json(asdict(left) | {"error": error})
    else:
        out.print(f"{left.jobs} jobs still wait, {left.aside_jobs} were refused")
    if left.jobs + left.aside_jobs:
        if error:
            err.print(f"error: {error}", style="red")
        raise typer.Exit(FAILED)
