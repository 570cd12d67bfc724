"""A time limit of something that a bus does, with an error that says what was going on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.errors import DispatchTimeout

if TYPE_CHECKING:
    from types import TracebackType

    from routeq_mqtt.bus.send.sender import Sender

_BROKER = "the broker did not acknowledge within {} s; it may have arrived"
_SCHEDULER = (
    "the scheduler did not answer within {} s; is it running? The broker may keep it for the next "
    "one; start one: routeq-mqtt scheduler"
)


_KEPT = "the broker keeps it until the scheduler can"


class _Bus(Protocol):
    @property
    def sender(self) -> Sender: ...


class Deadline:
    """The time limit of one operation of a bus; its error says what was going on.

    Args:
        bus: whose connection is waited for.
        timeout: seconds; None: there is no limit.
        what: is going on.
        stored: the scheduler is to answer.

    Raises:
        ConnectionFailed: time is up, and the broker could not be reached; says why.
        DispatchTimeout: time is up, and the broker is there.
    """

    def __init__(
        self, bus: _Bus, timeout: float | None, what: str, *, stored: bool = False
    ) -> None:
        self._bus = bus
        self._seconds = timeout
        self._what = what
        self._stored = stored
        self._scope = asyncio.timeout(timeout)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            trouble = self._bus.sender.link.trouble
            if trouble is not None:
                raise trouble from None
            silent = _SCHEDULER if self._stored else _BROKER
            said = self._bus.sender.surroundings.trouble
            if self._stored and said:
                silent = f"the scheduler did not answer within {{}} s: it {_plain(said)}; " + _KEPT
            raise DispatchTimeout(f"{self._what}: {silent.format(self._seconds)}") from None


def _plain(said: str) -> str:
    return said.replace("{", "(").replace("}", ")")
