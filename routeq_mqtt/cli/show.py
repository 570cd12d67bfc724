"""``routeq-mqtt queues`` and ``workers``: what goes on."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import AsJson, Url, out, print_json, run, settings

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("queues")(queues)
    app.command("workers")(workers)


def queues(url: Url = None, as_json: AsJson = False) -> None:
    """Show how many jobs of each queue are delayed, parked, waiting, running and failed."""
    from rich.table import Table

    async def main() -> dict[str, dict[str, int | bool]]:
        async with Bus(settings=settings(url)) as bus:
            return {name: size.as_dict() for name, size in (await bus.sizes.all()).items()}

    sizes = run(main)
    if as_json:
        print_json(sizes)
        return
    if not sizes:
        out.print("no queue has a job or a worker")
        return
    columns = ("total", "delayed", "parked", "waiting", "running", "failed")
    table = Table("queue", *columns)
    for name, size in sizes.items():
        table.add_row(
            f"{name} (paused)" if size["paused"] else name,
            *(str(size[column]) for column in columns),
        )
    out.print(table)
    if not all(size["exact"] for size in sizes.values()):
        out.print("The broker may hold more that nobody can count.", style="dim")


def workers(url: Url = None, as_json: AsJson = False) -> None:
    """Show the fleet, from retained messages alone: no scheduler is needed."""
    from rich.table import Table

    async def main() -> list[dict[str, Any]]:
        async with Bus(settings=settings(url)) as bus:
            await bus.sizes.refresh()
            members = bus.sizes.fleet.members.values()
            return [
                asdict(member.status) | {"load": asdict(member.load)}
                for member in members
                if member.status is not None and member.status.state != "adopted"
            ]

    fleet = run(main)
    if as_json:
        print_json(fleet)
        return
    if not fleet:
        out.print("no worker is there; start one: routeq-mqtt worker")
        return
    table = Table()
    table.add_column("worker", no_wrap=True, overflow="fold")
    for column in ("state", "queues", "running", "waiting", "done", "failed", "up"):
        table.add_column(column)
    for worker in fleet:
        load = worker["load"]
        table.add_row(
            worker["id"],
            "drained" if load["drained"] and worker["state"] == "online" else worker["state"],
            ",".join(worker["queues"]),
            f"{sum(load['active'].values())}/{worker['concurrency']}",
            str(sum(load["waiting"].values())),
            str(load["counters"].get("done", 0)),
            str(load["counters"].get("failed", 0)),
            f"{max(0.0, time.time() - worker['started_at']):.0f} s",
        )
    out.print(table)
