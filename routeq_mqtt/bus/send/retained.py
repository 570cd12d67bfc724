"""Retained messages over reconnects: what was cleared while we were away is not sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.transport.base import Message

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.sender import Listener, Sender


class Retained:
    """A listener that hands messages on, and remembers which connection brought each topic.

    Args:
        sender: the connections.
        take: gets each message, and one without a payload for each topic that is gone.
    """

    def __init__(self, sender: Sender, take: Listener) -> None:
        self._sender = sender
        self._take = take
        self._brought: dict[str, int] = {}
        self._settled = 0

    def __call__(self, message: Message) -> None:
        """Take a message in."""
        if message.payload:
            self._brought[message.topic] = self._sender.connections
        else:
            self._brought.pop(message.topic, None)
        self._take(message)

    @property
    def is_settled(self) -> bool:
        """Whether what is known is what the present connection has brought."""
        return self._settled == self._sender.connections

    def settle(self, connections: int) -> None:
        """Clear what is gone, once all that the broker has retained for us has arrived.

        Args:
            connections: how many there had been before that was waited for: where there is
                another one by now, nothing is known yet.
        """
        if connections != self._sender.connections:
            return
        self._settled = connections
        for topic in [name for name, on in self._brought.items() if on != connections]:
            del self._brought[topic]
            self._take(Message(topic, b"", retain=True))
