"""Commands that run until they are stopped: worker, scheduler, broker."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from routeq_mqtt.bus.features.schedule_listing import announcement
from routeq_mqtt.cli.common import (
    FAILED,
    START_AGAIN,
    LogJobs,
    LogLevel,
    Url,
    checked,
    is_in_a_folder,
    needs_broker,
    one_line,
    pairs,
    run,
    set_up_logging,
    settings,
)
from routeq_mqtt.cli.processes.apps import (
    App,
    Triggers,
    load_apps,
    queues_of,
    triggers_of,
    warn_without_jobs,
)
from routeq_mqtt.cli.processes.leaving import LEAVING_WITHIN, end_tasks, leave_threads_behind
from routeq_mqtt.cli.processes.notify import notifying
from routeq_mqtt.cli.processes.places import read_place
from routeq_mqtt.cli.processes.signals import reloading, stopping
from routeq_mqtt.cli.processes.supervisor import (
    Supervisor,
    say_started,
    stop_with_supervisor,
    supervised,
)
from routeq_mqtt.errors import ConfigurationError, TaskEnded
from routeq_mqtt.isolated import contain_tasks
from routeq_mqtt.scheduler.store.engines.postgres.url import place_of
from routeq_mqtt.transport.several import make_transport
from routeq_mqtt.worker.memory import resident_memory

log: logging.Logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("scheduler")(scheduler)
    app.command("broker")(broker)


def worker(
    queue: Annotated[
        list[str],
        typer.Option("--queue", "-q", help="Comma-separated queues, highest priority first."),
    ] = ["default"],  # noqa: B006 - typer copies it
    concurrency: Annotated[int, typer.Option(help="Jobs that run at the same time.")] = 10,
    prefetch: Annotated[
        int | None,
        typer.Option(
            help="Jobs of each queue held beyond those; default: as many as --concurrency."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Plain (not async) handlers that run at the same time; default: as many as "
            "--concurrency."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Worker processes; one that dies is restarted.")
    ] = 1,
    app: App = [],  # noqa: B006 - typer copies it
    max_memory: Annotated[
        float | None,
        typer.Option(
            help="Shut down gracefully above this much memory (MB); exit code 6, so that a "
            "supervisor restarts it."
        ),
    ] = None,
    max_jobs: Annotated[
        int | None, typer.Option(help="Stop after this many jobs. Default: no limit.")
    ] = None,
    max_time: Annotated[
        float | None, typer.Option(help="Stop after this many seconds. Default: no limit.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds that an attempt may take if its class sets no timeout; 0: no limit. "
            "Default: 60."
        ),
    ] = None,
    max_tries: Annotated[
        int | None,
        typer.Option(help="Attempts of a job whose class sets no max_tries. Default: 3."),
    ] = None,
    max_deliveries: Annotated[
        int,
        typer.Option(help="How many workers a job may crash before it becomes a failed record."),
    ] = 5,
    stop_when_empty: Annotated[
        bool, typer.Option("--stop-when-empty", help="Stop as soon as no job is waiting.")
    ] = False,
    shutdown_timeout: Annotated[
        float,
        typer.Option(help="Seconds that running jobs get to finish when the worker is stopped."),
    ] = 30.0,
    cancel_timeout: Annotated[
        float, typer.Option(help="Seconds that a cancelled or timed-out coroutine gets to end.")
    ] = 10.0,
    trigger: Triggers = [],  # noqa: B006 - typer copies it
    name: Annotated[
        str | None,
        typer.Option(
            help="A stable name: jobs can be dispatched to this worker (dispatch --to NAME)."
        ),
    ] = None,
    tag: Annotated[
        list[str],
        typer.Option(
            "--tag",
            help="A tag that broadcasts select by, key=value: site=north. Needs --name. "
            "Repeatable.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    events: Annotated[
        bool, typer.Option(help="Publish job events: started, done, retried, failed.")
    ] = True,
    log_jobs: LogJobs = False,
    url: Url = None,
    log_level: LogLevel = "info",
) -> None:
    """Run jobs until stopped. SIGTERM finishes the running jobs; a second one ends at once."""
    from routeq_mqtt.worker.options import WorkerOptions
    from routeq_mqtt.worker.worker import Worker

    set_up_logging(log_level)
    with one_line():  # the flags first: a supervisor would restart wrong ones again and again
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
            cancel_timeout=cancel_timeout,
            name=name,
            tags=pairs(tag, "--tag"),
            events=events,
            log_jobs=log_jobs,
        )
    if processes > 1 and not supervised():
        raise typer.Exit(run(lambda: _supervise(processes)))

    with one_line():
        load_apps(app, log_level)
        _check_memory(max_memory)
        chosen = settings(url)
        options = replace(
            options,
            guard=chosen.guard(),
            overrides=chosen.overrides,
            triggers=triggers_of(trigger),
        )
    say_started()
    warn_without_jobs()

    async def main() -> int:
        contain_tasks(asyncio.get_running_loop())
        work = Worker(make_transport(chosen.addresses()), options, topics=chosen.topics())
        with (
            stopping(work.stop, within=shutdown_timeout + LEAVING_WITHIN),
            stop_with_supervisor(work.stop),
        ):
            try:
                async with notifying(work.online):
                    await work.run()
            except asyncio.CancelledError as error:
                await end_tasks(FAILED)
                raise TaskEnded(
                    "the worker was cancelled: a job, or a library that it uses, cancels tasks "
                    "that are not its own, or stops the event loop"
                ) from error
            log.info("worker stopped jobs=%d failed=%d", work.ended_jobs, work.failed_jobs)
            code = FAILED if work.given_up or work.stuck else 0
            code = START_AGAIN if work.too_big else code
            await end_tasks(code)
        return code

    code = run(main)
    leave_threads_behind(code)
    raise typer.Exit(code)


def _check_memory(most: float | None) -> None:
    """A worker that is too big at its start would end, and be started again, without end."""
    used = resident_memory()
    if most is not None and used > most:
        raise ConfigurationError(
            f"--max-memory={most:g}: the worker has {used:.0f} MB before its first job; "
            "set it well above that"
        )


async def _supervise(processes: int) -> int:
    """The supervisor is ready at once; its workers do not notify systemd."""
    online = asyncio.Event()
    online.set()
    async with notifying(online):
        return await Supervisor(processes).run()


def _is_a_database(value: str, where: str) -> None:
    place = place_of(value)
    if isinstance(place, Path):
        is_in_a_folder(place, where)


def scheduler(
    db: Annotated[
        str,
        typer.Option(
            help="SQLite file, created if it does not exist; or postgresql://user@host/name.",
            envvar="ROUTEQ_DB",
            callback=checked(_is_a_database, "--db"),
        ),
    ] = "routeq.db",
    lost_after: Annotated[
        float,
        typer.Option(
            help="Seconds that a lost worker has to come back before its jobs run elsewhere."
        ),
    ] = 1.0,
    bridged: Annotated[
        list[str],
        typer.Option(
            help="Queues that a bridge of the broker forwards, for example cloud-*: the scheduler "
            "ignores them. Repeatable.",
            envvar="ROUTEQ_BRIDGED",
        ),
    ] = [],  # noqa: B006 - typer copies it
    standby: Annotated[
        bool,
        typer.Option(
            "--standby",
            help="Wait while another scheduler uses --db, and take over when that has ended.",
            envvar="ROUTEQ_STANDBY",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Start although a newer copy of --db was in use: ended jobs may run again.",
        ),
    ] = False,
    app: Annotated[
        list[str],
        typer.Option(
            "--app",
            help="Module with schedules to register at the start. Repeatable. Without it, the "
            "workers register theirs.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Serve /metrics for Prometheus: port, or host:port; default host: 127.0.0.1.",
            envvar="ROUTEQ_METRICS",
            callback=checked(read_place, "--metrics"),
        ),
    ] = None,
    homeassistant: Annotated[
        bool,
        typer.Option(
            "--homeassistant/--no-homeassistant",
            help="Announce the bus, its queues and its named workers to Home Assistant.",
            envvar="ROUTEQ_HOMEASSISTANT",
        ),
    ] = False,
    url: Url = None,
    log_level: LogLevel = "info",
) -> None:
    """Run the scheduler: stores delayed, retried and failed jobs, recovers those of lost workers.

    Run one per bus. Jobs that arrive while no worker is connected (parked) are stored, too.
    """
    from routeq_mqtt.scheduler.options import SchedulerOptions
    from routeq_mqtt.scheduler.scheduler import Scheduler

    set_up_logging(log_level)

    with one_line():
        load_apps(app, log_level)

    async def main() -> None:
        chosen = settings(url)
        schedules = tuple(announcement(time.time()))
        service = Scheduler(
            make_transport(chosen.addresses()),
            SchedulerOptions(
                db=place_of(db),
                lost_after=lost_after,
                bridged=tuple(bridged),
                guard=chosen.guard(),
                schedules=schedules,
                standby=standby,
                force=force,
                homeassistant=homeassistant,
                metrics=None if metrics is None else read_place(metrics, "--metrics"),
            ),
            topics=chosen.topics(),
        )
        with stopping(service.stop):
            async with notifying(service.ready):
                await service.run()
        log.info("scheduler stopped")

    run(main)


def broker(
    bind: Annotated[
        list[str],
        typer.Option(
            help="Where to listen: host:port, mqtts://host:port, unix:/path. Repeatable.",
            envvar="ROUTEQ_BIND",
        ),
    ] = ["127.0.0.1:1883"],  # noqa: B006 - typer copies it
    ws_bind: Annotated[
        list[str],
        typer.Option(help="Where to listen for MQTT over websockets: host:port. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    ws_origin: Annotated[
        list[str],
        typer.Option(
            help="Origin of web pages that may connect: https://panel.example, or * for "
            "all. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    db: Annotated[
        Path | None,
        typer.Option(
            help="SQLite file of the messages. Without it, a crash of the broker loses them.",
            callback=checked(is_in_a_folder, "--db"),
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="PEM file of the broker's certificate: all listeners use TLS."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(help="PEM file of its private key; default: the key is in --tls-cert."),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of a CA: clients must present a certificate signed by it; its common "
            "name is the user name."
        ),
    ] = None,
    users: Annotated[
        list[Path],
        typer.Option(
            help="Password file, made with mosquitto_passwd. Without it, anyone may "
            "connect. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    acl: Annotated[
        list[Path],
        typer.Option(help="Access rules, in the format of mosquitto's acl_file. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    limit: Annotated[
        list[str],
        typer.Option(
            help="Change a limit: connections=500; an unknown name lists all. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    namespace: Annotated[
        list[str],
        typer.Option(
            help="Also serve the bus of this namespace. Repeatable.",
            envvar="ROUTEQ_NAMESPACE",
        ),
    ] = [],  # noqa: B006 - typer copies it
    log_level: LogLevel = "info",
) -> None:
    """Run the embedded MQTT broker.

    SIGHUP reloads users, access rules and certificates and keeps all connections; if the broker
    runs in a terminal, SIGHUP stops it, as Ctrl-C does.
    """
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
        embedded = make_broker(
            bind,
            db,
            namespaces=namespace,
            access=access,
            ws_bind=ws_bind,
            ws_origins=ws_origin,
            limits=pairs(limit, "--limit"),
        )
        stopped, online = asyncio.Event(), asyncio.Event()
        with stopping(stopped.set), reloading(embedded.reload_access):
            async with notifying(online), embedded:
                log.info("broker listens on port %d db=%s", embedded.port, db)
                online.set()
                await stopped.wait()
        log.info("broker stopped")

    run(main)
