"""A time limit of something that a bus does, with an error that says what was going on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.errors import DispatchTimeout

if TYPE_CHECKING:
    from types import TracebackType

    from routeq_mqtt.bus.sender import Sender


class _Bus(Protocol):
    @property
    def sender(self) -> Sender: ...


class Within:
    """See the module.

    Args:
        bus: whose connection is waited for.
        timeout: seconds; None: there is no limit.
        what: is going on.

    Raises:
        ConnectionFailed: time is up, and the broker could not be reached; says why.
        DispatchTimeout: time is up, and the broker is there.
    """

    def __init__(self, bus: _Bus, timeout: float | None, what: str) -> None:
        self._bus = bus
        self._seconds = timeout
        self._what = what
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
            link = self._bus.sender.link
            if link.connection is None and link.last_error is not None:
                raise link.last_error from None
            raise DispatchTimeout(
                f"{self._what}: the broker did not acknowledge within {self._seconds} s; "
                "it may have arrived"
            ) from None
