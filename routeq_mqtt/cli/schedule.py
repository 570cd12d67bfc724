"""``routeq-mqtt schedule …``: list schedules, run one now, pause, resume, forget."""

from __future__ import annotations

from typing import Annotated

import typer

from routeq_mqtt.cli.asking import ask
from routeq_mqtt.cli.columns import Table
from routeq_mqtt.cli.common import AsJson, Url, out, print_json, when

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the schedule.")]


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List schedules, and when each is due next."""
    entries = ask(url, "schedule.list")
    if as_json:
        print_json(entries)
        return
    if not entries:
        out.print("no schedules yet: they become known when a worker that imports them starts")
        return
    table = Table("schedule", "job", "queue", "when", "next", "last")
    for entry in entries:
        cron = f"{entry['cron']} {entry['timezone']}"
        table.add_row(
            entry["name"],
            entry["job"],
            entry["queue"],
            cron if entry["every"] is None else f"every {entry['every']:g} s",
            "paused" if entry["paused"] else when(entry["next_at"]),
            when(entry["last_at"]) if entry["last_at"] else "",
        )
    out.print(table)


@app.command("run")
def run_(name: Name, url: Url = None) -> None:
    """Run the job of a schedule now, besides its ticks; prints the job's id."""
    typer.echo(ask(url, "schedule.run", name=name))


@app.command()
def pause(name: Name, url: Url = None) -> None:
    """No more ticks, until resumed; also over restarts."""
    ask(url, "schedule.pause", name=name)
    typer.echo(f"{name}: paused")


@app.command()
def resume(name: Name, url: Url = None) -> None:
    """Ticks again, from the next one on."""
    typer.echo(f"next: {when(ask(url, 'schedule.resume', name=name))}")


@app.command()
def forget(name: Name, url: Url = None) -> None:
    """Delete a schedule; one that is still declared comes back with the next worker that starts."""
    ask(url, "schedule.forget", name=name)
    typer.echo(f"{name}: forgotten")
