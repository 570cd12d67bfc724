"""`routeq-mqtt bench`: measures a user's own bus. Imports late, for the sake of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.common import AsJson, Url, err, fail, out, print_json, run, settings
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from routeq_mqtt.bench.results import Row
    from routeq_mqtt.settings.settings import Settings


def bench(
    scenario: Annotated[
        list[str] | None,
        typer.Argument(help="Scenarios to run; a wrong name lists them. Default: all."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each scenario.")] = 1,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Measure this bus in about a minute. Starts its own workers, on its own queues."""
    from routeq_mqtt.bench.scenarios import SCENARIOS

    for name in scenario or ():
        if name not in SCENARIOS:
            known = ", ".join(SCENARIOS)
            fail(ConfigurationError(f"bench: {name!r} is unknown; choose of {known}"))
    chosen = settings(url)
    rows = run(lambda: _measure(chosen, scenario or list(SCENARIOS), runs))
    if as_json:
        print_json([row.as_dict() for row in rows])
    else:
        out.print(_shown(rows))


async def _measure(chosen: Settings, names: list[str], runs: int) -> list[Row]:
    from routeq_mqtt.bench import results
    from routeq_mqtt.bench.scenarios import SCENARIOS
    from routeq_mqtt.bench.stage import Stage
    from routeq_mqtt.bench.workload import SHORT

    names, system = await _possible(chosen, names)
    table = results.Table(system)
    with err.progress(len(names) * runs) as begins:
        for done, name in enumerate(name for name in names for _ in range(runs)):
            begins(name, done)
            async with Stage(chosen, SHORT) as stage:
                for (figure, unit), value in (await SCENARIOS[name](stage)).items():
                    table.add(figure, unit, value)
    return table.rows


async def _possible(chosen: Settings, names: list[str]) -> tuple[list[str], str]:
    """The scenarios that this bus can play, and what to call it."""
    from routeq_mqtt.bench.scenarios import NEED_SCHEDULER
    from routeq_mqtt.bus.bus import Bus

    async with Bus(settings=chosen) as bus:
        around = bus.sender.surroundings
        shares = around.shares_queue
        need = NEED_SCHEDULER - {"through"} if shares else NEED_SCHEDULER
        left_out = [name for name in names if name in need and around.scheduler is None]
    if left_out:
        err.print(f"no scheduler is on this bus, left out: {', '.join(left_out)}")
    system = f"routeq-mqtt ({'embedded broker' if shares else chosen.address()})"
    return [name for name in names if name not in left_out], system


def _shown(rows: list[Row]) -> Table:
    table = Table("scenario", "median", "min", "max", "unit")
    for row in rows:
        figures = (row.median, min(row.runs), max(row.runs))
        table.add_row(
            row.scenario,
            *(f"{figure:,.0f}" if figure >= 1_000 else f"{figure:.2f}" for figure in figures),
            row.unit,
        )
    return table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
