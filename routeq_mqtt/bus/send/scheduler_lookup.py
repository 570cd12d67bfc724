"""Asks who the scheduler is, where its retained status is not to be had.

The nodes of a cluster share what is published, but not all of them what is retained: RabbitMQ keeps
it on the node that took it, and forgets it with that node.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.presence.status import SchedulerStatus
from routeq_mqtt.transport.base import SUCCESS
from routeq_mqtt.wire.messages.asking import Reply

if TYPE_CHECKING:
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection

_WAITS = 1.0
"""Seconds for an answer; there may be no scheduler, and then nothing says so on MQTT 3.1.1."""

_WAITS_FOR_KNOWN = 5.0
"""Seconds for the answer of one that was there: it may have to connect again, too."""

_LOST = 2
"""Connections in a row that may end at the question before one goes without it."""

_METHOD = "ping"
"""`Ping.METHOD`: all requests are more than a producer imports."""

_ID = "scheduler"


class SchedulerLookup:
    """One client's question.

    Args:
        topics: of the bus.
        client_id: of the connection.
    """

    def __init__(self, topics: Topics, client_id: str) -> None:
        self._topic = topics.rpc(_METHOD)
        self._reply = topics.reply(client_id)
        self._question = json.dumps({"reply": self._reply, "id": _ID, "args": {}}).encode()
        self._heard: asyncio.Future[None] | None = None
        self._lost = 0

    async def ask(self, connection: Connection, *, known: bool) -> None:
        """Ask, and wait until somebody has said `heard`; not for ever.

        Args:
            connection: reads the scheduler's status.
            known: there was a scheduler on this bus a moment ago.

        Raises:
            ConnectionLost: the connection ended first.
        """
        if self._lost >= _LOST:  # a broker may refuse a message by ending the connection
            self._lost = _LOST - 1
            return
        await connection.subscribe(self._reply)
        self._heard = heard = asyncio.get_running_loop().create_future()
        try:
            reason = await connection.publish(self._topic, self._question)
            self._lost = 0
            if reason == SUCCESS:  # else there is none, or access control is in the way
                either: set[asyncio.Future[Any]] = {heard, connection.lost}
                await asyncio.wait(
                    either,
                    timeout=_WAITS_FOR_KNOWN if known else _WAITS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        except ConnectionLost:
            self._lost += 1
            raise
        finally:
            self._heard = None

    def heard(self) -> None:
        """The scheduler is known now."""
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)

    def awaits(self, topic: str) -> bool:
        """Whether the answer may come on a topic now; later ones are of other requests."""
        return self._heard is not None and topic == self._reply

    def read(self, payload: bytes) -> SchedulerStatus:
        """The answer.

        Raises:
            UnreadableMessage: it is no status.
        """
        reply = Reply.decode(payload)
        if not isinstance(reply.result, dict):
            raise UnreadableMessage(f"the reply to {_METHOD!r} is no scheduler's status")
        return SchedulerStatus.read(reply.result)
