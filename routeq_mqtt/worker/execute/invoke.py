"""Calls what is the user's: `handle` with its middleware, and `failed`."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from routeq_mqtt.boundary import described, is_a, one_line, text_of
from routeq_mqtt.forks import generation, leave_a_fork
from routeq_mqtt.jobs.calls.around import called, entered, stands_around
from routeq_mqtt.jobs.context import restored
from routeq_mqtt.jobs.keywords import options_of
from routeq_mqtt.jobs.middleware import around, wrapped
from routeq_mqtt.jobs.signatures import has_run
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.worker.execute.subprocesses import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.execute.timeout import PausableTimeout

log: logging.Logger = logging.getLogger(__name__)


is_coroutine_function: Final = functools.lru_cache(maxsize=1024)(inspect.iscoroutinefunction)


def error_of_exit(error: BaseException) -> BaseException:
    """What users' code raised, with an exit of the process as an error of the job."""
    if not is_a(error, (SystemExit, KeyboardInterrupt)):
        return error
    instead = RuntimeError(
        f"handle() raised {type(error).__name__}({text_of(error)!r}); "
        "a job ends by return, or by raise Fail(…)"
    )
    instead.__cause__ = error
    return instead


class Invoker:
    """Coroutine functions in the event loop, plain ones in a thread, some jobs in a process.

    Args:
        threads: how many plain functions may run at once; more wait for a thread.
        grace: seconds that a cancelled `failed()` gets to end.
    """

    def __init__(self, threads: int, grace: float = 10.0) -> None:
        self._grace = grace
        self._hooks = Tasks()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._processes = Processes()

    def close(self) -> None:
        """Start no more threads, those that run are left alone; end the processes."""
        self._processes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def handle(self, job: Job, envelope: Envelope, limit: PausableTimeout) -> object:
        """Call `handle()` with the middleware around it; what it returns.

        Args:
            job: whose.
            envelope: that it came in.
            limit: of this run; stopped while a process starts.
        """

        def call(inner: Job) -> Coroutine[Any, Any, object]:
            if options_of(type(inner)).executor == "process":
                return self._processes.run(inner, envelope, limit)
            return self._call(inner.handle, limit)

        chain = around(type(job))
        run = wrapped(chain, call) if chain else call
        try:
            if not envelope.headers and not stands_around():
                return await run(job)
            async with AsyncExitStack() as stack:
                await entered(stack)
                if envelope.headers:
                    stack.enter_context(restored(envelope.headers))
                return await run(job)
        except (SystemExit, KeyboardInterrupt) as error:
            raise error_of_exit(error) from error

    async def failed(self, job: Job, error: BaseException) -> None:
        """Call `failed()`; whatever it raises is only logged.

        It gets the `timeout` of the job's class. A coroutine that ignores its cancellation is left
        to itself some seconds later, and so is a plain function: a thread cannot be stopped.
        """
        name = f"failed-{type(job).__name__}-{job.job_id}"
        task = self._hooks.start(self._call_failed(job, error), name)
        await asyncio.wait({task}, timeout=options_of(type(job)).timeout or None)
        if task.done():
            return
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=self._grace)
        log.error(
            "failed() of job=%s id=%s ran longer than %s s%s",
            type(job).__name__,
            job.job_id,
            options_of(type(job)).timeout,
            "" if done else " and ignores its cancellation: it is left to itself",
        )

    async def _call_failed(self, job: Job, error: BaseException) -> None:
        try:
            async with AsyncExitStack() as stack:
                await entered(stack)
                await self._call(job.failed, None, error)
        except BaseException as raised:
            if is_a(raised, asyncio.CancelledError) and _is_cancelled():
                raise
            what = described(raised)
            log.error(
                "failed() of job=%s id=%s raised error=%s\n%s",
                type(job).__name__,
                job.job_id,
                one_line(what.line),
                what.for_log,
            )

    async def _call(
        self, handler: Callable[..., Any], limit: PausableTimeout | None, *args: object
    ) -> object:
        if not is_coroutine_function(getattr(handler, "__func__", handler)):
            return await self._call_in_thread(handler, limit, *args)
        born = generation()
        try:
            value = await handler(*args)
        except BaseException:
            leave_a_fork(born, 1)
            raise
        leave_a_fork(born)
        return value

    async def _call_in_thread(
        self, handler: Callable[..., Any], limit: PausableTimeout | None, *args: object
    ) -> object:
        """A thread cannot be stopped: the run is over when it returns, however late."""
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, _result_of, context, handler, args
        )
        try:
            value, error = await asyncio.shield(future)
        except asyncio.CancelledError:
            log.warning("a plain function runs past its timeout, its slot waits for it")
            if limit is not None:
                limit.in_thread = True
            await asyncio.wait({future})
            value, error = future.result()
        if error is not None:
            raise error
        return has_run(await value if inspect.isawaitable(value) else value)


def _result_of(
    context: contextvars.Context, handler: Callable[..., Any], args: tuple[object, ...]
) -> tuple[Any, BaseException | None]:
    """Value or exception of a plain function: some exceptions cannot be those of a future."""
    born = generation()
    try:
        value = context.run(called, handler, *args)
    except BaseException as error:  # noqa: BLE001 - raised again in the event loop
        leave_a_fork(born, 1)
        return None, error
    leave_a_fork(born)
    return value, None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
