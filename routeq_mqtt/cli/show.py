"""``routeq-mqtt queues``: how many jobs wait where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.columns import Table
from routeq_mqtt.cli.common import AsJson, Url, out, print_json
from routeq_mqtt.cli.rates import shown_rate

if TYPE_CHECKING:
    import typer

    from routeq_mqtt.bus.bus import Bus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("queues")(queues)


def queues(url: Url = None, as_json: AsJson = False) -> None:
    """Show how many jobs of each queue are delayed, parked, waiting, running and failed."""

    async def act(bus: Bus) -> dict[str, dict[str, Any]]:
        return {name: size.as_dict() for name, size in (await bus.sizes.all()).items()}

    sizes = on_bus(url, act)
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
            _with_orders(name, size),
            *(str(size[column]) for column in columns),
        )
    out.print(table)
    if not all(size["exact"] for size in sizes.values()):
        out.print("The broker may hold more that nobody can count.", style="dim")


def _with_orders(name: str, size: dict[str, Any]) -> str:
    """A queue's name, and what was ordered of it."""
    orders = ["paused"] if size["paused"] else []
    if size["rate"] is not None:
        orders.append(f"at most {shown_rate(size['rate'])}")
    return f"{name} ({', '.join(orders)})" if orders else name
