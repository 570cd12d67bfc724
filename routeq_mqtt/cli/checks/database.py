"""``routeq-mqtt db``: copy a scheduler's database while it is in use, and check one."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.common import FAILED, AsJson, checked, err, one_line, out, print_json
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.store.files.backup import back_up
from routeq_mqtt.scheduler.store.files.check import DatabaseReport, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app: typer.Typer = typer.Typer(
    no_args_is_help=True, help="Back up or check the scheduler's database."
)

_PERCENT = 100


def _is_a_file(value: Path, where: str) -> None:
    if str(value).startswith(("postgresql:", "postgres:")):
        raise ConfigurationError(
            f"{where}: this command is for SQLite files; PostgreSQL has pg_dump and its own checks"
        )


Db = Annotated[
    Path,
    typer.Option(
        "--db",
        help="SQLite file of the scheduler.",
        envvar="ROUTEQ_DB",
        callback=checked(_is_a_file, "--db"),
    ),
]


@app.command("backup")
def backup(
    to: Annotated[Path, typer.Argument(help="File to write; an earlier backup is replaced.")],
    db: Db = Path("routeq.db"),
    as_json: AsJson = False,
) -> None:
    """Copy the database, also while the scheduler runs. Exit code 1: no copy was made."""
    with one_line(), _progress(quiet=as_json) as progress:
        done = back_up(db, to, progress)
    if as_json:
        print_json(done.as_dict())
    else:
        out.print(f"{done.to}: {_size(done.bytes)}, epoch {done.epoch}")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    if quiet:
        yield lambda copied, pages: None
        return
    with ExitStack() as bar:
        show: Callable[[str, int], None] | None = None

        def progress(copied: int, pages: int) -> None:
            nonlocal show
            show = show or bar.enter_context(err.progress(_PERCENT))
            show("backup", _PERCENT * copied // max(1, pages))

        yield progress


@app.command("check")
def check_database(db: Db = Path("routeq.db"), as_json: AsJson = False) -> None:
    """Check the database and count its rows. Exit code 1: it is damaged or too new."""
    with one_line():
        report = check(db)
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report)
    if report.problems:
        raise typer.Exit(FAILED)


def _show(report: DatabaseReport) -> None:
    upgrade = "" if report.schema >= report.newest else f", the next start makes it {report.newest}"
    table = Table("what", "found")
    table.add_row("file", f"{report.db}, {_size(report.bytes)}")
    table.add_row("used by", f"process {report.held_by}" if report.held_by else "no scheduler")
    table.add_row("schema", f"version {report.schema}{upgrade}")
    table.add_row("epoch", "none" if report.epoch is None else str(report.epoch))
    table.add_row("lineage", report.lineage or "none")
    for state, number in report.states.items():
        table.add_row(state, str(number))
    out.print(table)
    for problem in report.problems:
        err.print(problem, style="red", soft_wrap=True)
    if not report.problems:
        out.print("sound")


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
