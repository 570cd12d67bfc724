"""``routeq-mqtt up``: broker, scheduler and worker in one process, for a small gateway.

Broker and scheduler share the main event loop. The worker has a thread and a loop of its own, so
that a job which blocks its loop does not stop the broker. A scheduler or worker that ends by itself
is started again; a broker that cannot run ends the process, for systemd to start again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.common import (
    LogJobs,
    LogLevel,
    checked,
    is_folder,
    needs_broker,
    one_line,
    run,
    set_up_logging,
)
from routeq_mqtt.cli.processes.apps import (
    App,
    Triggers,
    load_apps,
    queues_of,
    triggers_of,
    warn_without_jobs,
)
from routeq_mqtt.cli.processes.dashboard import BIND, beside
from routeq_mqtt.cli.processes.leaving import LEAVING_WITHIN, leave_threads_behind
from routeq_mqtt.cli.processes.notify import notifying
from routeq_mqtt.cli.processes.signals import stopping
from routeq_mqtt.errors import ConfigurationError, RouteqError
from routeq_mqtt.isolated import contain_tasks
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.tasks import Scope
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager

log: logging.Logger = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0

MakeScheduler = Callable[[], Scheduler]
MakeWorker = Callable[[], Worker]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    queue: Annotated[
        list[str],
        typer.Option("--queue", "-q", help="Comma-separated queues, highest priority first."),
    ] = ["default"],  # noqa: B006 - typer copies it
    concurrency: Annotated[int, typer.Option(help="Jobs that run at the same time.")] = 10,
    app: App = [],  # noqa: B006 - typer copies it
    trigger: Triggers = [],  # noqa: B006 - typer copies it
    bind: Annotated[
        str, typer.Option(help="Address and port of the broker.", envvar="ROUTEQ_BIND")
    ] = "127.0.0.1:1883",
    db_folder: Annotated[
        Path,
        typer.Option(
            help="Folder for broker.db and routeq.db.",
            callback=checked(is_folder, "--db-folder"),
        ),
    ] = Path(),
    with_dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Serve the web dashboard, too.")
    ] = False,
    dashboard_bind: Annotated[
        str, typer.Option(help="Address and port of the dashboard.", envvar="ROUTEQ_DASHBOARD_BIND")
    ] = BIND,
    log_jobs: LogJobs = True,
    log_level: LogLevel = "info",
) -> None:
    """Run broker, scheduler and worker in one process: for development and small machines."""
    set_up_logging(log_level)
    with needs_broker():
        from routeq_mqtt.embedded import make_broker

    with one_line():
        load_apps(app, log_level)

    async def main() -> None:
        settings = Settings.from_environment(url="mqtt://127.0.0.1")
        topics, guard = settings.topics(), settings.guard()
        plain = replace(settings, namespace="").topics()
        broker = make_broker(
            bind, db_folder / "broker.db", topics=plain, namespaces=[settings.namespace]
        )
        address = replace(settings.address(), port=int(bind.rpartition(":")[2]))
        options = WorkerOptions(
            queues=queues_of(queue),
            concurrency=concurrency,
            guard=guard,
            overrides=settings.overrides,
            triggers=triggers_of(trigger),
            log_jobs=log_jobs,
        )
        warn_without_jobs()
        rows = SchedulerOptions(db=db_folder / "routeq.db", guard=guard)
        gateway = Gateway(
            broker,
            lambda: Scheduler(AioTransport(address), rows, topics=topics),
            lambda: Worker(AioTransport(address), options, topics=topics),
        )
        place = dashboard_bind if with_dashboard else None
        async with beside(place, f"mqtt://127.0.0.1:{address.port}"):
            with stopping(gateway.stop, within=options.shutdown_timeout + 2 * LEAVING_WITHIN):
                async with notifying(gateway.online, alive=gateway.answers):
                    await gateway.run()
        log.info("gateway stopped")

    run(main)
    leave_threads_behind(0)


class Gateway:
    """Broker, scheduler and worker in one process.

    Args:
        broker: not yet started.
        scheduler: makes one, for each start anew.
        worker: makes one, in its own loop.
    """

    def __init__(
        self,
        broker: AbstractAsyncContextManager[object],
        scheduler: MakeScheduler,
        worker: MakeWorker,
    ) -> None:
        self.online: asyncio.Event = asyncio.Event()
        self._broker = broker
        self._make_scheduler = scheduler
        self._workers = WorkerThread(worker)
        self._scheduler: Scheduler | None = None
        self._scheduling = asyncio.Event()
        self._stopping = False
        self._stop = Notifier()

    def stop(self) -> None:
        """Worker first, then scheduler, then broker; `run` returns after that."""
        self._stopping = True
        self._stop.notify()

    async def answers(self) -> None:
        """Return once the worker's loop has given a sign of life."""
        await self._workers.answers()

    async def run(self) -> None:
        """Until stopped.

        Raises:
            ConfigurationError: what was asked for cannot be; starting again would not help.
        """
        async with self._broker, Scope() as scope:
            scheduling = scope.start(self._keep(self._schedule, "scheduler"), "scheduler")
            working = scope.start(self._keep(self._workers.run, "worker"), "worker")
            scope.start(self._announce(), "announce")
            stop = scope.start(self._wait(), "stop")
            try:
                await asyncio.wait({scheduling, working, stop}, return_when=asyncio.FIRST_COMPLETED)
                self.stop()
                self._workers.stop()
                await working
            finally:
                self._workers.stop()
                if self._scheduler is not None:
                    self._scheduler.stop()
                await asyncio.gather(working, scheduling, return_exceptions=True)
            await scheduling

    async def _wait(self) -> None:
        while not self._stopping:
            await self._stop.wait()

    async def _announce(self) -> None:
        await self._scheduling.wait()
        if self._scheduler is not None:
            await self._scheduler.online.wait()
        await self._workers.online.wait()
        self.online.set()
        log.info("gateway online")

    async def _schedule(self) -> None:
        self._scheduler = self._make_scheduler()
        self._scheduling.set()
        await self._scheduler.run()

    async def _keep(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Run something again whenever it ends, until we stop."""
        wait = _FIRST_WAIT
        while not self._stopping:
            try:
                await run()
            except ConfigurationError:
                raise
            except RouteqError as error:
                log.error("%s ended, again in %.1f s error=%s", name, wait, error)
            if self._stopping:
                return
            await self._stop.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


class WorkerThread:
    """A worker in a thread with a loop of its own; one at a time.

    Args:
        make: makes the worker, inside that loop.
    """

    def __init__(self, make: MakeWorker) -> None:
        self.online: asyncio.Event = asyncio.Event()
        self._make = make
        self._main = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Worker | None = None

    async def run(self) -> None:
        """From the start of a worker to its end."""
        ended: asyncio.Future[None] = self._main.create_future()

        async def work() -> None:
            await self._work()
            # Now, not when the loop is closed: a job that ignores its cancellation would keep it.
            self._main.call_soon_threadsafe(_done, ended)

        def body() -> None:
            try:
                asyncio.run(work())
            except BaseException as error:  # noqa: BLE001 - it goes on in the main loop
                self._main.call_soon_threadsafe(_fail, ended, error)

        threading.Thread(target=body, name="worker", daemon=True).start()
        await asyncio.shield(ended)

    async def _work(self) -> None:
        worker = self._worker = self._make()
        self._loop = asyncio.get_running_loop()
        contain_tasks(self._loop)
        try:
            async with Scope() as scope:
                scope.start(self._tell(worker), "worker-online")
                await worker.run()
        finally:
            self._loop = None

    async def _tell(self, worker: Worker) -> None:
        await worker.online.wait()
        self._main.call_soon_threadsafe(self.online.set)

    def stop(self) -> None:
        """Finish what runs, and end."""
        loop, worker = self._loop, self._worker
        if loop is not None and worker is not None:
            loop.call_soon_threadsafe(worker.stop)

    async def answers(self) -> None:
        """Return once the worker's loop has given a sign of life; at once if none runs."""
        loop = self._loop
        if loop is None:
            return
        sign: Future[None] = asyncio.run_coroutine_threadsafe(_nothing(), loop)
        await asyncio.wrap_future(sign)


async def _nothing() -> None:
    """A sign of life."""


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
