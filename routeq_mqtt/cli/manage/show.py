"""``routeq-mqtt queues``: how many jobs wait where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.features.standbys import find_standbys
from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import AsJson, Url, out, print_json
from routeq_mqtt.cli.manage.rates import shown_rate
from routeq_mqtt.cli.output.columns import Table

if TYPE_CHECKING:
    import typer

    from routeq_mqtt.bus.bus import Bus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("queues")(queues)


def queues(url: Url = None, as_json: AsJson = False) -> None:
    """Show how many jobs of each queue are delayed, parked, waiting, running and failed."""

    async def act(bus: Bus) -> tuple[dict[str, dict[str, Any]], str]:
        sizes = {name: size.as_dict() for name, size in (await bus.sizes.all()).items()}
        return sizes, "" if as_json else await _schedulers(bus)

    sizes, schedulers = on_bus(url, act)
    if as_json:
        print_json([{"queue": name} | size for name, size in sizes.items()])
        return
    if not sizes:
        out.print("no queue has a job or a worker")
    else:
        _print(sizes)
    if schedulers:
        out.print(schedulers, style="dim")


async def _schedulers(bus: Bus) -> str:
    """Leader and standbys, where there is more than one scheduler to tell apart."""
    waiting = await find_standbys(bus.sender)
    if not waiting:
        return ""
    leader = bus.sender.surroundings.scheduler
    online = leader is not None and leader.state == "online"
    first = f"leader: {leader.host} pid={leader.pid}" if leader and online else "no leader"
    return f"{first}; standby: {', '.join(f'{one.host} pid={one.pid}' for one in waiting)}"


def _print(sizes: dict[str, dict[str, Any]]) -> None:
    columns = ("total", "delayed", "parked", "waiting", "running", "failed")
    table = Table("queue", *columns)
    for name, size in sizes.items():
        table.add_row(
            _with_orders(name, size),
            *(str(size[column]) for column in columns),
        )
    out.print(table)
    if not all(size["exact"] for size in sizes.values()):
        out.print(_UNCOUNTED, style="dim")


_UNCOUNTED = "Jobs that the broker itself holds are not in these numbers: it cannot say how many."


def _with_orders(name: str, size: dict[str, Any]) -> str:
    """A queue's name, and what was ordered of it."""
    orders = ["paused"] if size["paused"] else []
    if size["rate"] is not None:
        orders.append(f"at most {shown_rate(size['rate'])}")
    return f"{name} ({', '.join(orders)})" if orders else name
