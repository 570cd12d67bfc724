"""Commands that run until they are stopped: worker, scheduler, broker."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from routeq_mqtt.bus.timetable import announcement
from routeq_mqtt.cli.apps import App, Triggers, load_apps, queues_of, triggers_of, warn_without_jobs
from routeq_mqtt.cli.common import (
    FAILED,
    START_AGAIN,
    LogLevel,
    Url,
    checked,
    is_in_a_folder,
    needs_broker,
    pairs,
    run,
    set_up_logging,
    settings,
)
from routeq_mqtt.cli.notify import notifying
from routeq_mqtt.cli.signals import stopping
from routeq_mqtt.cli.supervisor import Supervisor, stop_with_supervisor, supervised
from routeq_mqtt.transport.aio import AioTransport

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("scheduler")(scheduler)
    app.command("broker")(broker)


def worker(
    queue: Annotated[
        list[str],
        typer.Option("--queue", "-q", help="Queues, first ones first: --queue high,default."),
    ] = ["default"],  # noqa: B006 - typer copies it
    concurrency: Annotated[int, typer.Option(help="Jobs that run at once.")] = 10,
    prefetch: Annotated[
        int | None, typer.Option(help="Jobs held beyond those; default: as many as run.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Plain functions that run at once; default: as many.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Worker processes; those that die are started again.")
    ] = 1,
    app: App = [],  # noqa: B006 - typer copies it
    max_memory: Annotated[
        float | None,
        typer.Option(help="Stop politely above so many MB of memory: exit code 6, start it again."),
    ] = None,
    max_jobs: Annotated[int | None, typer.Option(help="Stop after that many jobs.")] = None,
    max_time: Annotated[float | None, typer.Option(help="Stop after that many seconds.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for jobs whose class sets no timeout.")
    ] = None,
    max_tries: Annotated[
        int | None, typer.Option(help="Attempts for jobs whose class sets none.")
    ] = None,
    max_deliveries: Annotated[
        int, typer.Option(help="Workers that a job may take down before it fails.")
    ] = 5,
    stop_when_empty: Annotated[
        bool, typer.Option("--stop-when-empty", help="Stop when no job is waiting.")
    ] = False,
    shutdown_timeout: Annotated[
        float, typer.Option(help="Seconds that running jobs get when the worker stops.")
    ] = 30.0,
    trigger: Triggers = [],  # noqa: B006 - typer copies it
    name: Annotated[
        str | None, typer.Option(help="A stable name, for jobs that are meant for this device.")
    ] = None,
    tag: Annotated[
        list[str], typer.Option("--tag", help="What broadcasts look for: site=north. Repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    events: Annotated[bool, typer.Option(help="Tell what happens to jobs.")] = True,
    url: Url = None,
    log_level: LogLevel = "info",
) -> None:
    """Run the jobs of some queues until stopped (SIGTERM: finish what runs; twice: at once)."""
    from routeq_mqtt.worker.options import WorkerOptions
    from routeq_mqtt.worker.worker import Worker

    set_up_logging(log_level)
    if processes > 1 and not supervised():
        raise typer.Exit(run(lambda: _supervise(processes)))

    async def main() -> int:
        load_apps(app)
        warn_without_jobs()
        options = WorkerOptions(
            queues=queues_of(queue),
            concurrency=concurrency,
            prefetch=prefetch,
            threads=threads,
            max_memory=max_memory,
            max_jobs=max_jobs,
            max_time=max_time,
            timeout=timeout,
            max_tries=max_tries,
            max_deliveries=max_deliveries,
            stop_when_empty=stop_when_empty,
            shutdown_timeout=shutdown_timeout,
            name=name,
            tags=pairs(tag, "--tag"),
            events=events,
            triggers=triggers_of(trigger),
        )
        chosen = settings(url)
        options = replace(options, guard=chosen.guard())
        work = Worker(AioTransport(chosen.address()), options, topics=chosen.topics())
        with stopping(work.stop), stop_with_supervisor(work.stop):
            async with notifying(work.online):
                await work.run()
        log.info("worker stopped jobs=%d failed=%d", work.ended_jobs, work.failed_jobs)
        if work.too_big:
            return START_AGAIN
        return FAILED if work.given_up else 0

    code = run(main)
    _leave_threads_behind(code)
    raise typer.Exit(code)


async def _supervise(processes: int) -> int:
    """The supervisor is ready at once; each of its workers says so for itself, to nobody."""
    online = asyncio.Event()
    online.set()
    async with notifying(online):
        return await Supervisor(processes).run()


def _leave_threads_behind(code: int) -> None:
    """A plain function that outlived the shutdown timeout must not keep the process alive."""
    if any(thread.name.startswith("job") for thread in threading.enumerate()):
        log.warning("leaving while plain functions still run; their jobs run again elsewhere")
        logging.shutdown()
        os._exit(code)


def scheduler(
    db: Annotated[
        Path,
        typer.Option(
            help="SQLite file; made where it is missing.",
            envvar="ROUTEQ_DB",
            callback=checked(is_in_a_folder, "--db"),
        ),
    ] = Path("routeq.db"),
    lost_after: Annotated[
        float, typer.Option(help="Seconds that a lost worker has to come back.")
    ] = 1.0,
    bridged: Annotated[
        list[str],
        typer.Option(
            help="Queues that a bridge takes elsewhere, as cloud-*: leave them to it.",
            envvar="ROUTEQ_BRIDGED",
        ),
    ] = [],  # noqa: B006 - typer copies it
    app: Annotated[
        list[str],
        typer.Option("--app", help="Module whose schedules it knows from the start."),
    ] = [],  # noqa: B006 - typer copies it
    url: Url = None,
    log_level: LogLevel = "info",
) -> None:
    """Keep delayed, parked and failed jobs, and recover what dead workers held."""
    from routeq_mqtt.scheduler.options import SchedulerOptions
    from routeq_mqtt.scheduler.scheduler import Scheduler

    set_up_logging(log_level)

    async def main() -> None:
        chosen = settings(url)
        load_apps(app)
        schedules = tuple(announcement(time.time()))
        service = Scheduler(
            AioTransport(chosen.address()),
            SchedulerOptions(
                db=db,
                lost_after=lost_after,
                bridged=tuple(bridged),
                guard=chosen.guard(),
                schedules=schedules,
            ),
            topics=chosen.topics(),
        )
        with stopping(service.stop):
            async with notifying(service.online):
                await service.run()
        log.info("scheduler stopped")

    run(main)


def broker(
    bind: Annotated[
        str, typer.Option(help="Address and port to listen on.", envvar="ROUTEQ_BIND")
    ] = "127.0.0.1:1883",
    db: Annotated[
        Path | None,
        typer.Option(
            help="SQLite file; without it a crash of the broker loses what it holds.",
            callback=checked(is_in_a_folder, "--db"),
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the broker's certificate: encrypt everything.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key; default: in the same file.")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            help="Clients must show a certificate of this authority; its common name is the user."
        ),
    ] = None,
    users: Annotated[
        list[Path],
        typer.Option(help="Who may connect: a file as mosquitto_passwd makes it. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    acl: Annotated[
        list[Path],
        typer.Option(help="Who may read and write what: mosquitto's acl_file. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    log_level: LogLevel = "info",
) -> None:
    """Run the embedded broker, which shares $queue/<name> among workers itself."""
    set_up_logging(log_level)
    with needs_broker():
        from routeq_mqtt.embedded import Access, make_broker

    async def main() -> None:
        access = Access(
            tls_cert=tls_cert,
            tls_key=tls_key,
            client_ca=client_ca,
            users=tuple(users),
            acl=tuple(acl),
        )
        embedded = make_broker(bind, db, access=access)
        stopped, online = asyncio.Event(), asyncio.Event()
        with stopping(stopped.set):
            async with notifying(online), embedded:
                log.info("broker listens on port %d db=%s", embedded.port, db)
                online.set()
                await stopped.wait()
        log.info("broker stopped")

    run(main)
