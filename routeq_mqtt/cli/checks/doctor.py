"""``routeq-mqtt doctor``: checks of the way that a job takes, each with a verdict and the fix."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from routeq_mqtt.cli.common import (
    FAILED,
    NOT_CONNECTED,
    AsJson,
    Url,
    out,
    print_json,
    run,
    settings,
)
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.doctor.checks import Check, examine

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    url: Url = None,
    as_json: AsJson = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for warnings, too.")
    ] = False,
) -> None:
    """Check broker, scheduler and workers. Exit code 1: something is wrong; 3: no broker."""

    async def main() -> list[Check]:
        return await examine(settings(url))

    checks = run(main)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        table = Table("check", "verdict", "what was found", "what to do")
        for check in checks:
            verdict = (check.verdict, _STYLES[check.verdict])
            table.add_row(check.name, verdict, check.found, check.fix)
        out.print(table)
    bad = {"failed", "warning"} if strict else {"failed"}
    if any(check.verdict in bad for check in checks):
        unreachable = checks[0].verdict == "failed"
        raise typer.Exit(NOT_CONNECTED if unreachable else FAILED)
