"""``routeq-mqtt triggers …``: which messages become jobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.cli.common import FAILED, AsJson, Url, out, print_json, run, settings

app = typer.Typer(no_args_is_help=True)


def _ask(url: str | None, method: str, **args: Any) -> Any:  # noqa: ANN401 - a reply
    async def main() -> object:
        async with Bus(settings=settings(url)) as bus:
            return await bus.requests.call(method, **args)

    return run(main)


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List the triggers that workers have declared."""
    from rich.table import Table

    found = _ask(url, "trigger.list")
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
    answer = _ask(url, "trigger.forget", pattern=pattern)
    if as_json:
        print_json(answer)
    else:
        out.print(f"{answer['forgotten']} triggers forgotten")
    if not answer["forgotten"]:
        raise typer.Exit(FAILED)
