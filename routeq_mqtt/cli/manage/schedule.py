"""``routeq-mqtt schedule …``: list schedules, run one now, pause, resume, forget."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import AsJson, Url, checked, is_name, out, print_json, when
from routeq_mqtt.cli.output.columns import Table

app: typer.Typer = typer.Typer(no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="Name of the schedule.", callback=checked(is_name, "name"))
]


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List schedules, and when each is due next."""
    entries = on_bus(url, lambda bus: bus.schedules.list())
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        out.print("no schedules yet: they become known when a worker that imports them starts")
        return
    table = Table("schedule", "job", "queue", "when", "next", "last")
    for entry in entries:
        cron = f"{entry.cron} {entry.timezone}"
        table.add_row(
            entry.name if entry.declared else f"{entry.name} (no worker declares it)",
            entry.job,
            entry.queue or "default",
            cron if entry.every is None else f"every {entry.every:g} s",
            "paused" if entry.paused else when(entry.next_at),
            when(entry.last_at) if entry.last_at else "",
        )
    out.print(table)


@app.command("run")
def run_(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Run the job of a schedule now, beside its regular runs; prints the job's id."""
    job_id = on_bus(url, lambda bus: bus.schedules.run(name))
    if as_json:
        print_json({"schedule": name, "id": job_id})
    else:
        typer.echo(job_id)


@app.command()
def pause(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Pause a schedule. The pause survives restarts until you resume it."""
    on_bus(url, lambda bus: bus.schedules.pause(name))
    _say(name, "paused", as_json=as_json)


@app.command()
def resume(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Resume a paused schedule; prints when it runs next."""
    next_at = on_bus(url, lambda bus: bus.schedules.resume(name))
    if as_json:
        print_json({"schedule": name, "state": "resumed", "next_at": next_at})
    else:
        typer.echo(f"next: {when(next_at)}")


@app.command()
def forget(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a schedule. A worker whose app still declares it registers it again at its start."""
    on_bus(url, lambda bus: bus.schedules.forget(name))
    _say(name, "forgotten", as_json=as_json)


def _say(name: str, state: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"schedule": name, "state": state})
    else:
        typer.echo(f"{name}: {state}")
