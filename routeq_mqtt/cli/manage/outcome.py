"""``routeq-mqtt status`` and ``result``: what became of a job."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routeq_mqtt.bus.features.handles import JobStatus, Progress
from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import FAILED, AsJson, Url, checked, out, print_json
from routeq_mqtt.errors import ConfigurationError, NoResult, RequestFailed, ResultTimeout
from routeq_mqtt.wire.ids import made_at
from routeq_mqtt.wire.messages.requests import Find
from routeq_mqtt.wire.observe.asks import JobsShow

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus

_SHORTEST = 4


def _long_enough(value: str, where: str) -> None:
    if len(value) < _SHORTEST:
        raise ConfigurationError(
            f"{where}={value!r} must be an id, or {_SHORTEST} or more of its first characters"
        )


JobId = Annotated[
    str,
    typer.Argument(
        help="The job's id, or its first characters.", callback=checked(_long_enough, "job_id")
    ),
]


def _not_negative(value: float, where: str) -> None:
    if not 0 <= value < float("inf"):
        raise ConfigurationError(f"{where}={value!r} must be 0 seconds or more")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(status)
    app.command("result")(result)


def status(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Show the state of a job. Exit code 1: the job is unknown."""

    async def act(bus: Bus) -> tuple[str, JobStatus]:
        full = await _completed(bus, job_id)
        found = await bus.status(full)
        return full, await at_a_worker(bus, full) or found if found.state == "unknown" else found

    full, found = on_bus(url, act)
    if as_json:
        print_json({"id": full} | asdict(found))
    else:
        out.print(f"{full} {found.state}{_explained(found)}", highlight=False, soft_wrap=True)
    if found.state == "unknown":
        raise typer.Exit(FAILED)


def result(
    job_id: JobId,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            help="Seconds to wait for the job to end.",
            callback=checked(_not_negative, "--wait"),
        ),
    ] = 0.0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the result of a job as JSON. Exit code 1: there is none, or not yet."""

    async def act(bus: Bus) -> tuple[str, Any]:
        full = await _completed(bus, job_id)
        try:
            return full, await bus.result(full, timeout=wait)
        except ResultTimeout:
            found = await bus.status(full)
            raise ResultTimeout(
                f"job {full} has not ended: {found.state}{_explained(found)}; --wait waits for it"
            ) from None

    full, value = on_bus(url, act)
    print_json({"id": full, "result": value} if as_json else value)


async def at_a_worker(bus: Bus, job_id: str) -> JobStatus | None:
    """Of a job that is in no database: the worker that holds it is asked, for a second at most."""
    try:
        held = await bus.requests.ask(JobsShow(id=job_id))
    except RequestFailed:  # no worker says so; or the scheduler is older
        return None
    if held.state not in {"running", "waiting"}:
        return None
    told = held.progress
    return JobStatus(
        state="running" if held.state == "running" else "waiting",
        attempt=held.attempt,
        worker=held.worker,
        progress=None if not told else Progress(done=told[0], total=told[1], note=told[2]),
    )


async def _completed(bus: Bus, job_id: str) -> str:
    """The id of which these are the first characters; an id that nothing is known of stays."""
    if made_at(job_id) is not None:
        return job_id
    found = await bus.requests.ask(Find(prefix=job_id))
    if job_id in found or not found:
        return job_id
    if len(found) > 1:
        raise NoResult(f"{job_id!r} begins several ids: {', '.join(found)}; write more of it")
    return found[0]


def _explained(found: JobStatus) -> str:
    if found.state == "unknown":
        return (
            ": the scheduler does not know this id, and no worker says that it has the job: it is "
            "with the broker, it ended long ago or left no result, or it never was"
        )
    parts = [
        "" if found.attempt is None else f"attempt {found.attempt}",
        "" if found.worker is None else f"on worker {found.worker}",
        _shown_progress(found),
        ": ".join(filter(None, (found.reason, found.error))),
    ]
    told = ", ".join(filter(None, parts))
    return f" ({told})" if told else ""


def _shown_progress(found: JobStatus) -> str:
    progress = found.progress
    if progress is None:
        return ""
    of = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.done:g}{of} done{f': {progress.note}' if progress.note else ''}"
