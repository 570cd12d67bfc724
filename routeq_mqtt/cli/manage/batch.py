"""``routeq-mqtt batch``: how far a batch is; cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.bus.workflows import BatchHandle
from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import AsJson, Url, checked, is_name, out, print_json

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.bus.features.batches import BatchProgress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("batch")(batch)


def batch(
    batch_id: Annotated[
        str, typer.Argument(help="Id of the batch.", callback=checked(is_name, "batch_id"))
    ],
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel all of its jobs that have not ended.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the progress of a batch, or cancel it."""

    async def act(bus: Bus) -> BatchProgress:
        handle = BatchHandle(batch_id, bus)
        return await (handle.cancel() if cancel else handle.progress())

    progress = on_bus(url, act)
    if as_json:
        print_json(progress.as_dict())
        return
    counted = ("done", "pending", "failed", "cancelled")
    counts = ", ".join(f"{getattr(progress, name)} {name}" for name in counted)
    if cancel and not progress.called_off:
        out.print("it was over before; nothing was cancelled")
    out.print(f"{progress.name or progress.id}: {progress.total} jobs: {counts}")
