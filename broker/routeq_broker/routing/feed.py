"""The retained messages that a new subscription brings, read only as fast as the client reads.

One SUBSCRIBE of ten bytes can ask for megabytes: so no message is looked for before the socket has
taken the one before it. A filter that is subscribed to again brings them again, as in a packet of
its own; beyond `_MOST` that wait, once only, with its latest options. A filter that matches little
is compared with a bounded number of topics in one turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from routeq_broker.storage.entry import Entry, Message, encode_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_broker.protocol.subscribe import Options
    from routeq_broker.routing.context import Context
    from routeq_broker.routing.retained import Retained


_MOST = 1_000
"""Filters of one session that wait for their turn, each of them counted as often as it is named."""


class Reader(Protocol):
    """The session that is fed.

    Attributes:
        client_id: whose it is.
    """

    client_id: str

    def may_read(self, topic: str) -> bool:
        """Whether its client may get messages of a topic."""
        ...

    def pump(self) -> None:
        """Give what can be given now."""
        ...


class Feed:
    """Sends retained messages to one session, only as fast as its client reads.

    Args:
        retained: what there is.
        session: whose; what it may not read is left out.
        context: numbers the messages.
    """

    def __init__(self, retained: Retained, session: Reader, context: Context) -> None:
        self._retained = retained
        self._session = session
        self._context = context
        self._wanted: deque[tuple[str, Options]] = deque()
        self._crowded: dict[str, Options] = {}
        self._options: Options | None = None
        self._messages: Iterator[Message | None] | None = None
        self._resting = False
        self._ahead: Entry | None = None

    def want(self, name: str, options: Options) -> None:
        """What matches a filter, behind what is wanted already."""
        if len(self._wanted) < _MOST and not self._crowded:
            self._wanted.append((name, options))
        else:
            self._crowded[name] = options

    def next(self, *, only_qos_0: bool) -> Entry | None:
        """One message more; None: that was all (`over`), or its QoS is too high now."""
        if self._ahead is None:
            self._ahead = self._following()
        if self._ahead is None or (only_qos_0 and self._ahead.qos):
            return None
        entry, self._ahead = self._ahead, None
        return entry

    @property
    def over(self) -> bool:
        """Whether all was given, as far as `next` has looked."""
        waits = self._wanted or self._crowded
        return self._ahead is None and self._messages is None and not waits

    def _go_on(self) -> None:
        self._resting = False
        self._session.pump()

    def _following(self) -> Entry | None:
        """The next message; None: there is none, or others have their turn first."""
        if self._resting:
            return None
        while True:
            if self._messages is None:
                found = self._first()
                if found is None:
                    return None
                name, self._options = found
                self._messages = self._retained.matching(name)
            try:
                message = next(self._messages)
            except StopIteration:
                self._messages = None
                continue
            if message is None:
                self._resting = True
                asyncio.get_running_loop().call_soon(self._go_on)
                return None
            if self._session.may_read(message.topic):
                return self._entry(message)

    def _first(self) -> tuple[str, Options] | None:
        """The filter whose turn it is."""
        if self._wanted:
            return self._wanted.popleft()
        if not self._crowded:
            return None
        name = next(iter(self._crowded))
        return name, self._crowded.pop(name)

    def _entry(self, message: Message) -> Entry:
        options = self._options
        assert options is not None  # noqa: S101 - set with the messages
        return Entry(
            next(self._context.numbers),
            message.topic,
            message.payload,
            qos=min(message.qos, options.qos),
            retain=True,
            properties=message.properties,
            expires=message.expires,
            ids=encode_ids((options.identifier,)),
            owner=self._session.client_id,
        )
