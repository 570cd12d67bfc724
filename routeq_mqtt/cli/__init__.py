"""The command line: ``routeq-mqtt``. Typer lives here and nowhere else."""

from __future__ import annotations

import sys

import typer

from routeq_mqtt.cli.common import apply_settings
from routeq_mqtt.cli.screen import RICH
from routeq_mqtt.version import VERSION

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
        None, help="File of ROUTEQ_… lines beneath the environment; default: .env, if it is there."
    ),
    username: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_USERNAME")),
    password_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_PASSWORD_FILE")),
    ca_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_CA_FILE")),
    cert_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_CERT_FILE")),
    key_file: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_KEY_FILE")),
    protocol: str | None = typer.Option(None, help=_SETTING.format("ROUTEQ_PROTOCOL")),
) -> None:
    """Every command takes --url, or ROUTEQ_URL; default mqtt://127.0.0.1:1883."""
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
    from routeq_mqtt.cli import run

    app = typer.Typer(
        name="routeq-mqtt",
        help="An MQTT-native job bus: queues are broker topics, and no accepted job is lost.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode="rich" if RICH else None,
    )
    app.callback()(_root)
    run.register(app)
    if not services_only:
        _register_others(app)
    return app


def _register_others(app: typer.Typer) -> None:
    from routeq_mqtt.cli import (
        batch,
        bench,
        control,
        devices,
        doctor,
        failed,
        health,
        outbox,
        schedule,
        send,
        show,
        table,
        triggers,
        up,
        workers,
    )

    commands = (send, show, workers, control, batch, devices, doctor, bench, health, table, up)
    for module in commands:
        module.register(app)
    app.add_typer(schedule.app, name="schedule", help="Jobs that run again and again.")
    app.add_typer(triggers.app, name="triggers", help="Messages of devices that become jobs.")
    app.add_typer(outbox.app, name="outbox", help="Jobs that wait on this machine for the broker.")
    app.add_typer(failed.app, name="failed", help="Jobs that ran out of tries.")


def __getattr__(name: str) -> typer.Typer:
    """`app`, made when it is asked for."""
    if name != "app":
        raise AttributeError(name)
    return make_app()


def main() -> None:
    """Entry point of the console script."""
    make_app(services_only=sys.argv[1:2] != [] and sys.argv[1] in _SERVICES)()
