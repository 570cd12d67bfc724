"""Dispatch from Django's views and models."""

from __future__ import annotations

import asyncio
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Unpack

from django.db import transaction

from routeq_mqtt.bus.sync import SyncBus
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.codec import pack_job
from routeq_mqtt.jobs.job import Job, no_job

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.arguments import DispatchOptions
    from routeq_mqtt.bus.send.runs import RunsAsync, RunsPlain


@cache
def sync_bus() -> SyncBus:
    """The bus of this process for plain views, models and signals; it connects on first use."""
    return SyncBus()


def dispatch_on_commit(
    job: RunsAsync[Any] | RunsPlain[Any],
    *,
    using: str | None = None,
    **options: Unpack[DispatchOptions],
) -> None:
    """Send a job when the current transaction is committed; at once where there is none.

    A rollback sends nothing. The job's data are checked now, while there is still something to roll
    back. If the broker cannot be reached after the commit, what `Bus.dispatch` raises comes out of
    the transaction's block; with an outbox (``ROUTEQ = {"OUTBOX": …}``) the job is kept instead.

    Args:
        job: what to run.
        using: the database; default: the default one.
        **options: as those of `Bus.dispatch`.

    Raises:
        TypeError: it is not a job.
        PackingError: an attribute cannot travel.
        ConfigurationError: called in a coroutine, which it would block.
    """
    if not isinstance(job, Job):
        raise TypeError(no_job(job))
    if _in_event_loop():
        raise ConfigurationError(
            "dispatch_on_commit: it would block the event loop, and Django has no transactions in "
            "coroutines; write await dispatch(job), or call it inside of sync_to_async"
        )
    pack_job(job, now=time.time())
    transaction.on_commit(partial(sync_bus().dispatch, job, **options), using=using)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
