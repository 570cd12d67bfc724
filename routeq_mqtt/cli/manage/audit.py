"""``routeq-mqtt audit``: what the scheduler was asked to do, and who is said to have asked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from routeq_mqtt.cli.asking import ask
from routeq_mqtt.cli.common import AsJson, Url, out, print_json, when
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.wire.observe.asks import AuditList

_MOST = 500


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit)


def audit(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=_MOST, help="Lines, newest first.")
    ] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the actions that the scheduler was asked for, newest first.

    "claimed": the name is what the request says. "signed": who asked has the signing key of that
    name.
    """
    lines = ask(url, AuditList(limit=limit)).rows
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    if not lines:
        out.print("no action was asked for")
        return
    table = Table("when", "who", "name", "what", "with", "outcome", whole=1)
    for line in lines:
        told = (line.by, line.how, line.what, line.args, line.outcome)
        # Whoever asks chooses these: a line of them must not look like another entry.
        table.add_row(when(line.at), *(one.replace("\n", "\\n") for one in told))
    out.print(table)
