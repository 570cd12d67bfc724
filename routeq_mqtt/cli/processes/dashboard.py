"""``routeq-mqtt dashboard``: the web dashboard, as a process of its own or beside `up`."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import LogLevel, Url, out, run, set_up_logging, settings
from routeq_mqtt.cli.processes.notify import notifying
from routeq_mqtt.cli.processes.signals import stopping
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.tasks import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

log: logging.Logger = logging.getLogger(__name__)

_STOP_WITHIN = 3.0
"""Seconds from the first signal to the end of the process."""

BIND = "127.0.0.1:8080"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    bind: Annotated[
        str, typer.Option(help="Address and port of the page.", envvar="ROUTEQ_DASHBOARD_BIND")
    ] = BIND,
    password_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the operators' password: they may retry, cancel, pause.", exists=True
        ),
    ] = None,
    viewer_password_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the viewers' password: they may look, and change nothing.", exists=True
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Allow no actions, not even to operators.")
    ] = False,
    allow_host: Annotated[
        list[str],
        typer.Option(help="Host name under which browsers may open the page. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    redact: Annotated[
        list[str],
        typer.Option(help="A job field whose values are hidden, for example card. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    hide_data: Annotated[
        bool, typer.Option("--hide-data", help="Hide the data and the results of all jobs.")
    ] = False,
    environment: Annotated[
        str, typer.Option(help="A label shown on every page, for example production.")
    ] = "",
    trace_url: Annotated[
        str, typer.Option(help="Link to your traces: https://traces.example/trace/{trace_id}.")
    ] = "",
    url: Url = None,
    log_level: LogLevel = "info",
) -> None:
    """Show the bus in a browser. The link that is printed lets its first visitor in."""
    set_up_logging(log_level)

    async def main() -> None:
        with needs_dashboard():
            from routeq_mqtt.dashboard.options import make_options
            from routeq_mqtt.dashboard.serve import DashboardServer, Passwords

        options = make_options(
            hosts=allow_host,
            redact=redact,
            hide_data=hide_data,
            environment=environment,
            trace_url=trace_url,
        )
        bus = Bus(settings=settings(url))
        try:
            server = DashboardServer(
                bus,
                bind,
                options,
                passwords=Passwords(
                    operator=_password(password_file),
                    viewer=_password(viewer_password_file),
                    read_only=read_only,
                ),
                announce=announce,
            )
            with stopping(server.stop, within=_STOP_WITHIN):
                async with notifying(server.online):
                    await server.run()
        finally:
            await bus.close()
        log.info("dashboard stopped")

    run(main)


@contextlib.asynccontextmanager
async def beside(bind: str | None, bus_url: str) -> AsyncIterator[None]:
    """A dashboard beside other services of this process.

    Args:
        bind: where it listens; None: there is none.
        bus_url: of the broker.
    """
    if bind is None:
        yield
        return
    with needs_dashboard():
        from routeq_mqtt.dashboard.options import make_options
        from routeq_mqtt.dashboard.serve import DashboardServer

    options = make_options(hosts=(), redact=(), hide_data=False, environment="", trace_url="")
    bus = Bus(settings=settings(bus_url))
    server = DashboardServer(bus, bind, options, announce=announce)
    try:
        async with Scope() as scope:
            serving = scope.start(server.run(), "dashboard")
            try:
                yield
            finally:
                server.stop()
                await serving
    finally:
        await bus.close()


def announce(link: str) -> None:
    """Print the link to open: to standard output, not into the log, which others may read."""
    out.print(f"dashboard: {link}", soft_wrap=True)


@contextlib.contextmanager
def needs_dashboard() -> Iterator[None]:
    """Around the import of the dashboard: where its packages are missing, say how to get them."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"the dashboard needs {error.name or 'packages'} that are not installed; "
            "pip install 'routeq-mqtt[dashboard]'"
        ) from None


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    password = file.read_text().strip()
    if len(password) < 8:
        raise ConfigurationError(
            f"the password in {str(file)!r} has {len(password)} characters; use at least 8"
        )
    return password
