"""``routeq-mqtt cancel``, ``pause``, ``resume``, ``limit``, ``purge`` and ``worker-(un)drain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.asking import on_bus
from routeq_mqtt.cli.common import (
    FAILED,
    AsJson,
    Url,
    checked,
    err,
    is_name,
    one_line,
    out,
    print_json,
)
from routeq_mqtt.cli.manage.rates import parse_rate, shown_rate
from routeq_mqtt.errors import RouteqError
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.bus.bus import Bus

QueueName = Annotated[
    str, typer.Argument(help="The queue.", callback=checked(check_queue_name, "queue"))
]
WorkerName = Annotated[
    str,
    typer.Argument(
        help="The worker's id, or the --name that it was started with.",
        callback=checked(check_queue_name, "worker"),
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("cancel")(cancel)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("limit")(limit)
    app.command("purge")(purge)
    app.command("worker-drain")(drain)
    app.command("worker-undrain")(undrain)


def cancel(
    ids: Annotated[
        list[str], typer.Argument(help="Ids of jobs.", callback=checked(is_name, "ids"))
    ],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs: delayed, waiting or running. Exit code 1: one had already ended."""

    async def act(bus: Bus) -> dict[str, str]:
        return {job_id: await _cancelled(bus, job_id) for job_id in ids}

    fates = on_bus(url, act)
    if as_json:
        print_json(fates)
    else:
        for job_id, fate in fates.items():
            out.print(f"{job_id} {_SAID[fate]}", highlight=False)
    if "over" in fates.values():
        raise typer.Exit(FAILED)


async def _cancelled(bus: Bus, job_id: str) -> str:
    """The job's fate; "unknown" where it may be anywhere, or nowhere."""
    fate = await bus.cancel(job_id)
    if fate == "asked" and (await bus.status(job_id)).state == "unknown":
        return "unknown"
    return fate


_SAID = {
    "cancelled": "cancelled",
    "unknown": "is not known to the scheduler; a worker that has it, or gets it, does not run it",
    "asked": "will be stopped where it runs, and not be started where it waits",
    "over": "had ended before",
}


def pause(queue: QueueName, url: Url = None, as_json: AsJson = False) -> None:
    """Pause a queue. The pause survives restarts until you resume it."""
    is_known = on_bus(url, lambda bus: _and_then(bus, bus.pause, _is_served, queue))
    _say(queue, "paused", is_known, _NO_WORKER, as_json=as_json)


def resume(queue: QueueName, url: Url = None, as_json: AsJson = False) -> None:
    """Resume a paused queue."""
    is_known = on_bus(url, lambda bus: _and_then(bus, bus.resume, _is_served, queue))
    _say(queue, "resumed", is_known, _NO_WORKER, as_json=as_json)


_NO_WORKER = "no worker serves this queue now"
_NOT_ONLINE = "no worker of this id or name is online now"


def limit(
    queue: QueueName,
    rate: Annotated[
        str,
        typer.Argument(
            help="Jobs started per time at most: 100/m, 10/s, 5/30s, 1000/h; none or 0: no limit."
        ),
    ],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Limit the rate of a queue, across all workers. The limit survives restarts."""
    with one_line():
        wanted = None if rate in _NO_LIMIT else parse_rate(rate, "limit: rate")
    on_bus(url, lambda bus: bus.limit_queue(queue, wanted))
    if as_json:
        print_json({"queue": queue, "rate": wanted})
    elif wanted is None:
        out.print(f"{queue}: no limit of its own")
    else:
        out.print(f"{queue}: at most {shown_rate(wanted)}")


_NO_LIMIT = ("none", "0")


def purge(
    queue: QueueName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Cancel all jobs of a queue that have not started."""
    if as_json and not yes:
        raise typer.BadParameter("purge: with --json no question is asked; say --yes, too")
    if not yes:
        typer.confirm(f"Cancel all jobs that wait in queue {queue}?", abort=True)
    purged = on_bus(url, lambda bus: bus.purge(queue))
    if as_json:
        print_json({"queue": queue, "purged": purged})
    else:
        out.print(f"{purged} jobs purged; those that waited in workers are not counted")


def drain(worker: WorkerName, url: Url = None, as_json: AsJson = False) -> None:
    """Drain a worker: it finishes its jobs and takes no new ones. By name, also over restarts."""
    is_known = on_bus(url, lambda bus: _and_then(bus, bus.drain, _is_online, worker))
    _say(worker, "drained", is_known, _NOT_ONLINE, as_json=as_json)


def undrain(worker: WorkerName, url: Url = None, as_json: AsJson = False) -> None:
    """Let a drained worker take jobs again."""
    is_known = on_bus(url, lambda bus: _and_then(bus, bus.undrain, _is_online, worker))
    _say(worker, "takes jobs again", is_known, _NOT_ONLINE, as_json=as_json)


async def _and_then(
    bus: Bus,
    order: Callable[[str], Awaitable[None]],
    is_obeyed: Callable[[Bus, str], Awaitable[bool]],
    whom: str,
) -> bool:
    """Whether one obeys now; the order also holds for later ones, so a wrong name is no error."""
    await order(whom)
    try:
        return await is_obeyed(bus, whom)
    except RouteqError:  # it is given all the same
        return True


async def _is_served(bus: Bus, queue: str) -> bool:
    await bus.sizes.refresh()
    return bool(bus.sizes.fleet.online(queue))


async def _is_online(bus: Bus, worker: str) -> bool:
    await bus.sizes.refresh()
    return any(worker in {one.id, one.name} for one in bus.sizes.fleet.online())


def _say(whom: str, done: str, is_known: bool, hint: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": whom, "state": done, "obeyed": is_known})
        return
    out.print(f"{whom}: {done}", highlight=False)
    if not is_known:
        err.print(f"({hint}: the order holds for one that comes)")
