"""Checks passwords in a bounded pool of threads, fairly among addresses, and slows down guessing.

A check costs tens of milliseconds of a processor. One address has one check at a time in the pool,
so that a flood from one does not keep the others out; what waits is bounded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from routeq_broker.errors import NotAdmitted
from routeq_broker.protocol import reasons

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_THREADS = 2
_WAITING = 256
_WAITING_PER_ADDRESS = 32
_DELAY = 0.1
_LONGEST_DELAY = 3.0
"""Less than clients wait for a CONNACK: who is wrong by mistake has to read why."""

_REMEMBERED = 10_000


class _Address:
    """What is known of one address."""

    __slots__ = ("failures", "turn", "waiting")

    def __init__(self) -> None:
        self.failures = 0
        self.waiting = 0
        self.turn = asyncio.Lock()


class Logins:
    """Checks passwords in a bounded pool of threads, and slows down guessing.

    Args:
        delay: seconds until the answer to a wrong password; default 0.1. It doubles with each
            failure of one address up to 3 s, until a right one comes from there.
    """

    def __init__(self, delay: float = _DELAY) -> None:
        self._delay = delay
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="broker-login")
        self._turns = asyncio.Semaphore(_THREADS)
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._waiting = 0

    async def check(self, address: str, work: Callable[[], _T]) -> _T:
        """Run a check in a thread, when it is its turn.

        Args:
            address: of the client, without its port.
            work: the check; raises `NotAdmitted` for a wrong password.

        Raises:
            NotAdmitted: the password is wrong (after a while), or too many wait already.
        """
        known = self._known(address)
        if known.waiting >= _WAITING_PER_ADDRESS or self._waiting >= _WAITING:
            raise NotAdmitted("too many logins wait", reasons.CONNECTION_RATE_EXCEEDED)
        known.waiting += 1
        self._waiting += 1
        try:
            async with known.turn, self._turns:
                loop = asyncio.get_running_loop()
                result = await loop.run_in_executor(self._pool, work)
        except NotAdmitted:
            known.failures += 1
            await asyncio.sleep(self._pause(known.failures))
            raise
        else:
            known.failures = 0
            return result
        finally:
            known.waiting -= 1
            self._waiting -= 1

    def close(self) -> None:
        """Start no more checks."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _pause(self, failures: int) -> float:
        return min(_LONGEST_DELAY, self._delay * 2.0 ** min(failures - 1, 20))

    def _known(self, address: str) -> _Address:
        known = self._addresses.setdefault(address, _Address())
        self._addresses.move_to_end(address)
        while len(self._addresses) > _REMEMBERED:
            oldest = next(iter(self._addresses))
            if self._addresses[oldest].waiting:
                self._addresses.move_to_end(oldest)
                break
            del self._addresses[oldest]
        return known
