"""Retained reports of many clients, below one topic: the latest of each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable

log: logging.Logger = logging.getLogger(__name__)

R = TypeVar("R")


class Reports(Generic[R]):
    """Keeps the latest report of each client until that clears it.

    Args:
        prefix: of the topics; a client's name follows it.
        decode: reads a report, or raises `UnreadableMessage`.
        most: reports that are kept: a client that may publish there could name any number.

    Attributes:
        latest: by name.
    """

    def __init__(self, prefix: str, decode: Callable[[bytes], R], *, most: int) -> None:
        self.latest: dict[str, R] = {}
        self._prefix = prefix
        self._decode = decode
        self._most = most
        self._complaints = Complaints(log)

    def fold(self, topic: str, payload: bytes) -> str | None:
        """Take a message in; whose report it is, or None.

        One that cannot be read changes nothing.
        """
        if not topic.startswith(self._prefix):
            return None
        name = topic[len(self._prefix) :]
        try:
            if not payload:
                self.latest.pop(name, None)
            elif name in self.latest or len(self.latest) < self._most:
                self.latest[name] = self._decode(payload)
        except UnreadableMessage as error:
            self._complaints.note(topic, error)
        return name
