"""Calls what is the user's: `handle` with its middleware, and `failed`."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from routeq_mqtt.job.context import restored
from routeq_mqtt.job.middleware import around, wrapped
from routeq_mqtt.worker.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from routeq_mqtt.job.job import Job
    from routeq_mqtt.wire.envelope import Envelope
    from routeq_mqtt.worker.limit import TimeLimit

log = logging.getLogger(__name__)


_is_async = functools.lru_cache(maxsize=1024)(inspect.iscoroutinefunction)


class Caller:
    """Coroutine functions in the event loop, plain ones in a thread, some jobs in a process.

    Args:
        threads: how many plain functions may run at once; more wait for a thread.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._processes = Processes()

    def close(self) -> None:
        """Start no more threads, those that run are left alone; end the processes."""
        self._processes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def handle(self, job: Job, envelope: Envelope, limit: TimeLimit) -> object:
        """Call `handle()` with the middleware around it; what it returns.

        Args:
            job: whose.
            envelope: that it came in.
            limit: of this run; stopped while a process starts.
        """

        def call(inner: Job) -> Coroutine[Any, Any, object]:
            if type(inner).executor == "process":
                return self._processes.run(inner, envelope, limit)
            return self._call(inner.handle)

        chain = around(type(job))
        run = wrapped(chain, call) if chain else call
        try:
            if not envelope.headers:
                return await run(job)
            with restored(envelope.headers):
                return await run(job)
        except (SystemExit, KeyboardInterrupt) as error:
            # It would end the worker with all its jobs.
            raise RuntimeError(
                f"handle() raised {error!r}; a job ends by return, or by raise Fail(…)"
            ) from error

    async def failed(self, job: Job, error: BaseException) -> None:
        """Call `failed()`; an error in it is only logged."""
        try:
            async with asyncio.timeout(type(job).timeout or None):
                await self._call(job.failed, error)
        except (Exception, SystemExit, KeyboardInterrupt):
            log.exception("failed() of job=%s id=%s raised", type(job).__name__, job.job_id)

    async def _call(self, handler: Callable[..., Any], *args: object) -> object:
        if _is_async(getattr(handler, "__func__", handler)):
            return await handler(*args)
        return await self._call_in_thread(handler, *args)

    async def _call_in_thread(self, handler: Callable[..., Any], *args: object) -> object:
        """A thread cannot be stopped: the run is over when it returns, however late."""
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(handler, *args)
        )
        try:
            result = await asyncio.shield(future)
        except asyncio.CancelledError:
            log.warning("a plain function runs past its timeout, its slot waits for it")
            await asyncio.wait({future})
            result = future.result()
        return await result if inspect.isawaitable(result) else result
