"""The loop of the scheduler's services: a pass at each news, and when the next one is due."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NoReturn

from routeq_mqtt.scheduler.store.rows import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.notifier import Notifier

log: logging.Logger = logging.getLogger(__name__)

_STORE_AGAIN = 1.0


async def repeat(
    run_once: Callable[[], Awaitable[float | None]], news: Notifier, cannot: str
) -> NoReturn:
    """Run passes, for ever; where the database cannot be used, again a second later.

    Args:
        run_once: one pass; seconds until the next one, 0: at once, None: only at news.
        news: starts a pass; what is notified during one starts the next.
        cannot: what does not happen without the database, for the log: "cannot feed, rows wait".
    """
    while True:
        since = news.fired
        try:
            wait = await run_once()
        except StoreUnavailable as error:
            log.error("%s: error=%s", cannot, error)
            await asyncio.sleep(_STORE_AGAIN)
            continue
        if wait == 0:
            await asyncio.sleep(0)
        else:
            await news.wait(wait, since=since)
