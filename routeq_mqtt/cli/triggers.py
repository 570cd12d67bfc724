"""``routeq-mqtt triggers …``: which messages become jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from routeq_mqtt.cli.asking import ask
from routeq_mqtt.cli.columns import Table
from routeq_mqtt.cli.common import FAILED, AsJson, Url, out, print_json

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List the triggers that workers have declared."""
    found = ask(url, "trigger.list")
    if as_json:
        print_json(found)
        return
    table = Table("pattern", "job", "queue")
    for one in found:
        table.add_row(one["pattern"], one["job"], one["queue"])
    out.print(table)


@app.command()
def forget(
    pattern: Annotated[str, typer.Argument(help="As `triggers list` shows it.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Stop making jobs of a pattern's messages; a worker that still declares it brings it back."""
    answer = ask(url, "trigger.forget", pattern=pattern)
    if as_json:
        print_json(answer)
    else:
        out.print(f"{answer['forgotten']} triggers forgotten")
    if not answer["forgotten"]:
        raise typer.Exit(FAILED)
