"""The end of a process that ran users' code: nothing which that left behind may keep it alive."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

log: logging.Logger = logging.getLogger(__name__)

LEAVING_WITHIN = 15.0
"""Seconds that a worker needs at most to leave, after its shutdown timeout."""

_CANCEL_WITHIN = 2.0


async def end_tasks(code: int) -> None:
    """Cancel all other tasks of this event loop; end the process where one of them ignores that.

    Closing the loop would wait for it without end.

    Args:
        code: the exit code of the process.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if not others:
        return
    _, left = await asyncio.wait(others, timeout=_CANCEL_WITHIN)
    if left:
        names = ", ".join(sorted(task.get_name() for task in left)[:10])
        log.error("leaving though %d tasks ignore their cancellation: %s", len(left), names)
        logging.shutdown()
        os._exit(code)


def leave_threads_behind(code: int) -> None:
    """End the process where a plain function of a job still runs: Python would wait for it."""
    if any(thread.name.startswith("job") for thread in threading.enumerate()):
        log.warning("leaving while plain functions still run; their jobs run again elsewhere")
        logging.shutdown()
        os._exit(code)
