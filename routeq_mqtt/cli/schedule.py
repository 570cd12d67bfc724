"""``routeq-mqtt schedule …``: list schedules, run one now, pause, resume, forget."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import AsJson, Url, out, print_json, run, settings, when

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the schedule.")]


def _ask(url: str | None, method: str, **args: Any) -> Any:  # noqa: ANN401 - a reply
    async def main() -> object:
        async with Bus(settings=settings(url)) as bus:
            return await bus.requests.call(f"schedule.{method}", **args)

    return run(main)


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List schedules, and when each is due next."""
    entries = _ask(url, "list")
    if as_json:
        print_json(entries)
        return
    table = Table("schedule", "job", "queue", "when", "next", "last")
    for entry in entries:
        every = f"every {entry['every']:g} s"
        table.add_row(
            entry["name"],
            entry["job"],
            entry["queue"],
            f"{entry['cron']} {entry['timezone']}" if entry["cron"] else every,
            "paused" if entry["paused"] else when(entry["next_at"]),
            when(entry["last_at"]) if entry["last_at"] else "",
        )
    out.print(table)


@app.command("run")
def run_(name: Name, url: Url = None) -> None:
    """Run the job of a schedule now, besides its ticks; prints the job's id."""
    typer.echo(_ask(url, "run", name=name))


@app.command()
def pause(name: Name, url: Url = None) -> None:
    """No more ticks, until resumed; also over restarts."""
    _ask(url, "pause", name=name)


@app.command()
def resume(name: Name, url: Url = None) -> None:
    """Ticks again, from the next one on."""
    typer.echo(f"next: {when(_ask(url, 'resume', name=name))}")


@app.command()
def forget(name: Name, url: Url = None) -> None:
    """Delete a schedule; one that is still declared comes back with the next worker that starts."""
    _ask(url, "forget", name=name)
