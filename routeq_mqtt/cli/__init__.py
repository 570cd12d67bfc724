"""The command line: ``routeq-mqtt``. Typer lives here and nowhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from routeq_mqtt.cli.common import apply_settings
from routeq_mqtt.cli.failing import usage_as_json, wants_json
from routeq_mqtt.cli.output.screen import RICH
from routeq_mqtt.cli.processes.entry import ENTRY, start_again_with
from routeq_mqtt.cli.standard_files import open_standard_files, writes
from routeq_mqtt.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERVICES = frozenset({"worker", "scheduler", "broker"})
"""Commands that run for months on small machines: they load nothing of the others."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"routeq-mqtt {VERSION}")
        raise typer.Exit


_SETTING = "Sets {} for this command."


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
    env_file: str | None = typer.Option(
        None,
        help="File with ROUTEQ_… lines; environment variables take precedence. Default: .env, "
        "if it exists.",
    ),
    username: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_USERNAME")),
    password_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_PASSWORD_FILE")),
    ca_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_CA_FILE")),
    cert_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_CERT_FILE")),
    key_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_KEY_FILE")),
    protocol: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_PROTOCOL")),
) -> None:
    """A job queue for Python on MQTT: the broker is the queue, and no accepted job is lost.

    Start with `routeq-mqtt up --app MODULE`. Commands find the broker by --url or ROUTEQ_URL;
    default: mqtt://127.0.0.1:1883.

    Exit codes: 0 done; 1 not done; 2 no such command or flag; 3 the broker was not reached; 4 a
    wrong value or setting; 5 no scheduler or worker; 6 a worker exceeded --max-memory.
    """
    wants_json(False)
    apply_settings(
        env_file=env_file,
        username=username,
        password_file=password_file,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        protocol=protocol,
    )


def make_app(*, services_only: bool = False) -> typer.Typer:
    """The commands.

    Args:
        services_only: only those of `worker`, `scheduler` and `broker`.
    """
    from routeq_mqtt.cli.processes import run

    app = typer.Typer(
        name="routeq-mqtt",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=not services_only,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich" if RICH else None,
    )
    app.callback()(_root)
    if not services_only:
        from routeq_mqtt.cli.processes import up

        up.register(app)  # the first one in the help: newcomers start with it
    run.register(app)
    if not services_only:
        _register_others(app)
    return app


def _register_others(app: typer.Typer) -> None:
    from routeq_mqtt.cli.checks import bench, database, doctor, health, settings, shipped
    from routeq_mqtt.cli.manage import (
        audit,
        batch,
        control,
        devices,
        events,
        failed,
        outbox,
        outcome,
        schedule,
        send,
        show,
        triggers,
        workers,
    )
    from routeq_mqtt.cli.processes import dashboard
    from routeq_mqtt.cli.top import command as top

    managing = (send, outcome, show, workers, events, audit, top, control, batch, devices)
    for module in (*managing, doctor, bench, health, settings, dashboard):
        module.register(app)
    app.add_typer(
        schedule.app, name="schedule", help="Jobs that run regularly: cron and intervals."
    )
    app.add_typer(triggers.app, name="triggers", help="MQTT messages that become jobs.")
    app.add_typer(
        outbox.app, name="outbox", help="Jobs kept on this machine while the broker is unreachable."
    )
    app.add_typer(database.app, name="db")
    app.add_typer(shipped.app, name="config")
    app.add_typer(failed.app, name="failed", help="Failed jobs: list, show, retry, delete.")


def __getattr__(name: str) -> typer.Typer:
    """`app`, made when it is asked for."""
    if name != "app":
        raise AttributeError(name)
    return make_app()


def main(
    arguments: Sequence[str] | None = None, *, name: str | None = None, entry: str = ENTRY
) -> None:
    """Entry point of the console script, and of programs that have it as a command of theirs.

    Args:
        arguments: without the name of the program; default: those of this process.
        name: of the program, for its help; default: that of this process.
        entry: the module that `worker --processes` starts again with these arguments.
    """
    sys.argv = [name or sys.argv[0], *(sys.argv[1:] if arguments is None else arguments)]
    start_again_with(entry)
    open_standard_files()
    services_only = sys.argv[1:2] != [] and sys.argv[1] in _SERVICES
    if services_only:
        make_app(services_only=True)()
        return
    with writes():
        if "--json" in sys.argv[1:]:
            usage_as_json(make_app())
        make_app()()
