"""``routeq-mqtt failed …``: look at failed records, run them again, forget them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from routeq_mqtt.cli.asking import ask
from routeq_mqtt.cli.columns import Table
from routeq_mqtt.cli.common import (
    FAILED,
    AsJson,
    Url,
    checked,
    err,
    out,
    print_json,
    settings,
    when,
)
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from routeq_mqtt.security.guard import Guard

app = typer.Typer(no_args_is_help=True)

Queue = Annotated[
    str | None,
    typer.Option(
        "--queue",
        "-q",
        help="Only of this queue.",
        callback=checked(check_queue_name, "--queue"),
    ),
]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of --queue.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of failed jobs.")]


@app.command("list")
def list_(
    queue: Queue = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at most.")] = 100,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List failed records, newest first."""
    records = ask(url, "failed.list", queue=queue, limit=limit)
    if as_json:
        print_json(records)
        return
    if not records:
        out.print("no failed records")
        return
    table = Table("failed job", "why", whole=32, lines=True)
    for record in records:
        error = (record["error"] or "").splitlines() or [""]
        table.add_row(
            f"{record['id']}\n{record['job'] or '?'} on {record['queue']}",
            f"{record['reason']}: {error[0][:200]}\n{when(record['failed_at'])}",
        )
    out.print(table)


@app.command()
def show(
    job_id: Annotated[str, typer.Argument(help="Id of the failed job.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one failed record: its data, and the error of every attempt."""
    record = _opened(ask(url, "failed.show", id=job_id), settings(url).guard())
    if as_json:
        print_json(record)
        return
    out.print(f"{record['job'] or '?'}  id={record['id']}  queue={record['queue']}", style="bold")
    out.print(f"{record['reason']}: {record['error']}")
    out.print(f"failed at {when(record['failed_at'])} by worker {record['worker']}")
    data = record["data"]
    out.print("data", data if data is not None else record["envelope"])
    for attempt in record["attempts"]:
        out.print(f"attempt {attempt['attempt']} at {when(attempt['at'])}", style="bold")
        out.print(attempt["traceback"], highlight=False)


def _opened(record: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """A record whose sealed parts are readable, where we have the key."""
    try:
        envelope = Envelope.decode(record["envelope"])
        if not envelope.extra:
            return record
        envelope = envelope.evolve(id=record["id"])
        data = guard.read(envelope).data
    except UnreadableMessage as refused:
        return record | {"note": str(refused)}
    errors = [
        {key: guard.plain_words(part, envelope) if isinstance(part, str) else part
         for key, part in attempt.items()}
        for attempt in record["attempts"]
    ]  # fmt: skip
    error = guard.plain_words(record["error"], envelope)
    return record | {"data": data, "attempts": errors, "error": error}


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
    answer = ask(url, "failed.retry", ids=ids or [], all=every, queue=queue)
    if as_json:
        print_json(answer)
    else:
        number = len(answer["retried"])
        out.print("1 job runs again" if number == 1 else f"{number} jobs run again")
        for skipped in answer["skipped"]:
            err.print(f"not retried: {skipped['id']}: {skipped['error']}")
    if answer["skipped"]:
        raise typer.Exit(FAILED)


@app.command()
def forget(
    ids: Ids = None,
    queue: Queue = None,
    every: All = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Delete failed records."""
    _check_choice(ids, every, queue)
    answer = ask(url, "failed.forget", ids=ids or [], all=every, queue=queue)
    _forgotten(answer, as_json=as_json, wanted=len(ids or []))


@app.command()
def flush(queue: Queue = None, url: Url = None, as_json: AsJson = False) -> None:
    """Delete all failed records, or all of one queue."""
    _forgotten(ask(url, "failed.flush", queue=queue), as_json=as_json, wanted=0)


def _forgotten(answer: dict[str, Any], *, as_json: bool, wanted: int) -> None:
    if as_json:
        print_json(answer)
    else:
        number = answer["forgotten"]
        out.print(f"{number} failed record{'' if number == 1 else 's'} forgotten")
    if answer["forgotten"] < wanted:
        raise typer.Exit(FAILED)


def _check_choice(ids: list[str] | None, every: bool, queue: str | None) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("name ids, or say --all")
    if ids and queue is not None:
        raise typer.BadParameter("--queue goes with --all; the ids that you name are enough")
