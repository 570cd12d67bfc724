"""Database connections around jobs, as Django has them around requests."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, reset_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Around a plain function, in its thread: no connection that is too old, or was lost."""
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


@asynccontextmanager
async def own_thread() -> AsyncIterator[None]:
    """Around a run: its asynchronous queries have a thread, and so a connection, of their own.

    Else those of all jobs would wait for each other: without it Django has one thread for them.
    """
    async with ThreadSensitiveContext() as context:
        try:
            yield
        finally:
            if context in SyncToAsync.context_to_thread_executor:  # it was used
                await sync_to_async(close_old_connections)()
