"""``routeq-mqtt triggers …``: which messages become jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import FAILED, AsJson, Url, checked, is_name, out, print_json
from routeq_mqtt.cli.output.columns import Table

app: typer.Typer = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List the triggers: topic patterns whose messages become jobs."""
    found = on_bus(url, lambda bus: bus.triggers.list())
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table("pattern", "job", "queue")
    for one in found:
        table.add_row(one.pattern, one.job, one.queue)
    out.print(table)


@app.command()
def forget(
    pattern: Annotated[
        str,
        typer.Argument(
            help="Topic pattern, as `triggers list` shows it.", callback=checked(is_name, "pattern")
        ),
    ],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Delete a trigger. A worker whose app still declares it registers it again at its start."""
    forgotten = int(on_bus(url, lambda bus: bus.triggers.forget(pattern)))
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        out.print(f"{forgotten} triggers forgotten")
    if not forgotten:
        raise typer.Exit(FAILED)
