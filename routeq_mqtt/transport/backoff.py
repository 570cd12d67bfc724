"""Trying again, with exponential backoff and jitter: the one home of tenacity."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from routeq_mqtt.imports import first_import

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

T = TypeVar("T")

_FIRST_WAIT = 0.05


def load() -> None:
    """Import what `with_backoff` needs, so that no time-out runs meanwhile."""
    with first_import():
        import tenacity  # noqa: F401


async def with_backoff(
    attempt: Callable[[], Awaitable[T]],
    *errors: type[BaseException],
    max_wait: float,
    note: Callable[[BaseException, int], None],
) -> T:
    """Await `attempt` until it raises none of `errors`.

    Args:
        attempt: what to try.
        errors: after which to try again; all others are raised.
        max_wait: seconds between two tries at most; the first waits are about 0.05 s.
        note: called before each wait with the error and the number of tries so far.
    """
    with first_import():
        from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            note(error, state.attempt_number)

    async def once() -> T:
        return await attempt()  # tenacity awaits what is declared async, and nothing else

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(errors),
        wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=max_wait),
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(once)


def backoff_delay(times: int, *, max_wait: float) -> float:
    """Seconds to wait before the next try: from half of a time that doubles, to all of it.

    Args:
        times: how often in a row it was in vain, 1 or more; the first time is 0.05 s.
        max_wait: seconds at most.
    """
    most = min(max_wait, _FIRST_WAIT * 2.0 ** min(times - 1, 30))
    return most * random.uniform(0.5, 1.0)  # noqa: S311 - not everybody at the same moment
