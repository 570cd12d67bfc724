"""``routeq-mqtt failed …``: look at failed records, run them again, forget them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import (
    FAILED,
    AsJson,
    Url,
    checked,
    err,
    is_name,
    out,
    print_json,
    when,
)
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.wire.names import check_queue_name

app: typer.Typer = typer.Typer(no_args_is_help=True)

Queue = Annotated[
    str | None,
    typer.Option(
        "--queue",
        "-q",
        help="Only of this queue. Default: of all.",
        callback=checked(check_queue_name, "--queue"),
    ),
]
All = Annotated[bool, typer.Option("--all", help="All failed jobs, or all of --queue.")]
Ids = Annotated[
    list[str] | None, typer.Argument(help="Ids of failed jobs.", callback=checked(is_name, "ids"))
]


@app.command("list")
def list_(
    queue: Queue = None,
    job: Annotated[
        str | None,
        typer.Option(
            "--job", help="Only of jobs with this name.", callback=checked(is_name, "--job")
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Records to show at most.")] = 100,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List failed records, newest first."""
    records = on_bus(url, lambda bus: bus.failed.list(queue, job=job, limit=limit))
    if as_json:
        print_json([asdict(record) for record in records])
        return
    if not records:
        out.print("no failed records")
        return
    table = Table("failed job", "why", whole=32, lines=True)
    for record in records:
        error = record.error.splitlines() or [""]
        table.add_row(
            f"{record.id}\n{record.job or '?'} on {record.queue}",
            f"{record.reason}: {error[0][:200]}\n{when(record.failed_at)}",
        )
    out.print(table)
    if len(records) == limit:
        err.print(f"(the newest {limit}; there may be more: --limit N, 1000 at most, or --queue)")


@app.command()
def show(
    job_id: Annotated[
        str, typer.Argument(help="Id of the failed job.", callback=checked(is_name, "job_id"))
    ],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one failed record: its data, and the error of every attempt."""
    record = asdict(on_bus(url, lambda bus: bus.failed.show(job_id)))
    if record["note"] is None:
        del record["note"]
    if as_json:
        print_json(record)
        return
    out.print(f"{record['job'] or '?'}  id={record['id']}  queue={record['queue']}", style="bold")
    out.print(f"{record['reason']}: {record['error']}")
    out.print(f"failed at {when(record['failed_at'])} by worker {record['worker']}")
    data = record["data"]
    out.print("data", data if data is not None else record["envelope"])
    for attempt in record["attempts"]:
        out.print(f"attempt {attempt.get('attempt', '?')}{_at(attempt)}", style="bold")
        out.print(str(attempt.get("traceback", "")), highlight=False)


def _at(attempt: dict[str, Any]) -> str:
    at = attempt.get("at")
    return f" at {when(at)}" if isinstance(at, int | float) else ""


@app.command()
def retry(
    ids: Ids = None,
    queue: Queue = None,
    every: All = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run failed jobs again, from their first attempt."""
    _check_choice(ids, every, queue)
    answer = on_bus(url, lambda bus: bus.failed.retry(*ids or (), all=every, queue=queue))
    if as_json:
        print_json(asdict(answer))
    else:
        number = len(answer.retried)
        out.print("1 job runs again" if number == 1 else f"{number} jobs run again")
        for skipped in answer.skipped:
            err.print(f"not retried: {skipped.id}: {skipped.error}")
    if answer.skipped:
        raise typer.Exit(FAILED)


@app.command()
def forget(
    ids: Ids = None,
    queue: Queue = None,
    every: All = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Delete failed records by id, or all of them."""
    _check_choice(ids, every, queue)
    answer = on_bus(url, lambda bus: bus.failed.forget(*ids or (), all=every, queue=queue))
    _forgotten(answer, as_json=as_json, wanted=len(ids or []))


@app.command()
def flush(queue: Queue = None, url: Url = None, as_json: AsJson = False) -> None:
    """Delete all failed records, or all of one queue."""
    _forgotten(on_bus(url, lambda bus: bus.failed.flush(queue)), as_json=as_json, wanted=0)


def _forgotten(number: int, *, as_json: bool, wanted: int) -> None:
    if as_json:
        print_json({"forgotten": number})
    else:
        out.print(f"{number} failed record{'' if number == 1 else 's'} forgotten")
    if number < wanted:
        raise typer.Exit(FAILED)


def _check_choice(ids: list[str] | None, every: bool, queue: str | None) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("name ids, or say --all")
    if ids and queue is not None:
        raise typer.BadParameter("--queue goes with --all; the ids that you name are enough")
