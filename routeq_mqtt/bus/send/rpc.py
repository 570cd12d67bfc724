"""Requests to the scheduler over MQTT: reply topic and correlation travel in the payload."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConnectionLost, NoScheduler, RequestFailed, UnreadableMessage
from routeq_mqtt.security.requests import sign_request
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.messages.asking import Reply
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.security.signing import Signer
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.wire.messages.request import R, Request


log: logging.Logger = logging.getLogger(__name__)


class Requests:
    """Asks the scheduler and waits for its replies.

    Args:
        sender: the connection to ask on.
        signer: signs what changes something, so that the audit log knows who asked; None: no keys.
        clock: when that was.

    Attributes:
        asker: who asks, for the scheduler's audit log; default: this client's identifier.
    """

    def __init__(self, sender: Sender, signer: Signer | None, clock: Clock) -> None:
        self._sender = sender
        self._signer, self._clock = signer, clock
        self.asker: str = sender.client_id
        self._reply_topic = sender.topics.reply(sender.client_id)
        self._pending: dict[str, asyncio.Future[Any]] = {}
        self._complaints = Complaints(log)
        self._listening = False

    async def ask(
        self,
        request: Request[R],
        *,
        timeout: float = 5.0,
        again: float | None = None,
        by: str | None = None,
    ) -> R:
        """Ask, and return what the scheduler replies.

        Args:
            request: what to ask for.
            timeout: seconds to wait for the reply; default 5.
            again: see `exchange`.
            by: who asks, for the scheduler's audit log; default: `asker`.

        Raises:
            ConfigurationError: an argument is not valid; raised before anything connects.
            NoScheduler, ConnectionFailed, RequestFailed, ConnectionLost: as `call`.
        """
        topic = self._sender.topics.rpc(request.METHOD)
        by = by or self.asker
        args = request.checked_args()
        more: dict[str, object] = {}
        if self._signer is not None and request.ACTS:
            now = self._clock.now()
            more["signed"] = sign_request(self._signer, request.METHOD, args, by, now)
        result = await self.exchange(topic, args, timeout=timeout, again=again, by=by, **more)
        try:
            return request.read_reply(result)
        except UnreadableMessage as error:
            raise RequestFailed(f"{request.METHOD}: the reply cannot be read: {error}") from None

    async def call(self, method: str, *, timeout: float = 5.0, **args: object) -> Any:  # noqa: ANN401
        """Ask by a method's name, and return what the scheduler replies, as it came.

        Args:
            method: what to ask for.
            timeout: seconds to wait for the reply; default 5.
            **args: the method's own arguments.

        Raises:
            NoScheduler: none has run on this bus, or it did not reply in time.
            ConnectionFailed: the broker could not be reached in that time.
            RequestFailed: it replied with an error.
            ConnectionLost: the connection ended before the reply came.
        """
        return await self.exchange(self._sender.topics.rpc(method), args, timeout=timeout)

    async def exchange(
        self,
        topic: str,
        args: object,
        *,
        timeout: float,
        again: float | None = None,
        **more: object,
    ) -> Any:  # noqa: ANN401
        """Publish a request to a topic of the scheduler's and return its reply.

        Args:
            topic: where it goes.
            args: what it says.
            timeout: seconds to wait for the reply.
            again: seconds after which a request that may be repeated is sent again: a scheduler
                that dies after its commit sends no reply. None: never.
            **more: further parts of the request, beside its arguments.
        """
        correlation = new_id()
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[correlation] = reply
        request = pack({"reply": self._reply_topic, "id": correlation, "args": args, **more})
        try:
            async with asyncio.timeout(timeout):
                await self.listen()
                while not reply.done():
                    connection = await self._sender.link.ready()
                    await self._sender.to_scheduler(topic, request)
                    # The reply goes to a session that ends with its connection.
                    either: set[asyncio.Future[Any]] = {reply, connection.lost}
                    await asyncio.wait(either, timeout=again, return_when=asyncio.FIRST_COMPLETED)
                    if connection.lost.done() and not reply.done():
                        raise ConnectionLost(f"the connection ended before {topic!r} was answered")
                return reply.result()
        except TimeoutError:
            trouble = self._sender.link.trouble
            if trouble is not None:
                raise trouble from None
            said = self._sender.surroundings.trouble
            if said:
                raise NoScheduler(
                    f"the scheduler did not answer {topic!r} within {timeout} s: it {said}"
                ) from None
            raise NoScheduler(
                f"the scheduler did not answer {topic!r} within {timeout} s; is it running? "
                "start one: routeq-mqtt scheduler"
            ) from None
        finally:
            del self._pending[correlation]

    async def listen(self) -> None:
        """Connect and subscribe to the replies, unless that is done."""
        if not self._listening:
            await self._sender.listen([self._reply_topic], self._take)
            self._listening = True

    def _take(self, message: Message) -> None:
        try:
            answer = Reply.decode(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return
        reply = self._pending.get(answer.id)
        if reply is None or reply.done():
            return
        if answer.error is not None:
            reply.set_exception(RequestFailed(answer.error))
        else:
            reply.set_result(answer.result)
