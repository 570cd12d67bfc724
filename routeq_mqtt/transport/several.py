"""Several addresses, of one cluster or of a broker and its substitute: one is used at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed
from routeq_mqtt.imports import first_import

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.transport.address import BrokerAddress
    from routeq_mqtt.transport.aio import AioTransport
    from routeq_mqtt.transport.base import Connection, ConnectOptions, OnMessage, Transport

log: logging.Logger = logging.getLogger(__name__)


def make_transport(addresses: Sequence[BrokerAddress]) -> Transport:
    """What connects to the first of these addresses that answers.

    Raises:
        ConfigurationError: a certificate's file cannot be used.
    """
    with first_import():  # a third of the import of a program that only defines jobs
        import encodings.idna  # noqa: F401 - getaddrinfo imports it, in a thread of its own

        from routeq_mqtt.transport.aio import AioTransport

    transports = [AioTransport(address) for address in addresses]
    return transports[0] if len(transports) == 1 else SeveralBrokers(transports)


class SeveralBrokers:
    """Connects to the address in use; where that fails, to the next one, and so on in turn.

    All connections of a program are to one address: those that are left at another one, which
    answers no more or has been away for a moment, are closed, so that a worker never takes jobs
    from one broker and reports to another.

    Args:
        transports: one for each address, in the order in which they are tried first.
    """

    def __init__(self, transports: Sequence[AioTransport]) -> None:
        self._transports = list(transports)
        self._used = 0
        self._open: dict[Connection, int] = {}
        self._failing: set[int] = set()

    async def connect(self, options: ConnectOptions, on_message: OnMessage) -> Connection:
        """Connect to the first address that lets us, beginning with the one in use.

        Raises:
            ConnectionFailed: none does; names each, and why.
        """
        used, number = self._used, len(self._transports)
        errors: list[str] = []
        for at in [(used + step) % number for step in range(number)]:
            try:
                connection = await self._transports[at].connect(options, on_message)
            except ConnectionFailed as error:
                self._note(at, error)
                errors.append(str(error))
                continue
            self._failing.discard(at)
            if self._used not in {used, at}:  # another connection has moved on in the meantime
                await connection.close()
                raise ConnectionFailed(f"the address in use is {self._address(self._used)} now")
            self._use(at)
            self._remember(connection, at)
            return connection
        raise ConnectionFailed(f"no broker of {number} can be used: {' | '.join(errors)}")

    def _remember(self, connection: Connection, at: int) -> None:
        self._open[connection] = at
        connection.lost.add_done_callback(lambda lost: self._open.pop(connection, None))

    def _use(self, at: int) -> None:
        if at == self._used:
            return
        self._used = at
        log.warning("the broker in use is %s now", self._address(at))
        for connection, where in list(self._open.items()):
            if where != at:
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        """Close it in its own loop, which may be another thread's, and may have ended."""
        closing = connection.close()
        try:
            asyncio.run_coroutine_threadsafe(closing, connection.lost.get_loop())
        except RuntimeError:  # the loop is closed, and the connection gone with it
            closing.close()
            self._open.pop(connection, None)

    def _note(self, at: int, error: ConnectionFailed) -> None:
        level = logging.DEBUG if at in self._failing else logging.WARNING
        self._failing.add(at)
        log.log(level, "broker=%s is passed over: %s", self._address(at), error)

    def _address(self, at: int) -> BrokerAddress:
        return self._transports[at].address
