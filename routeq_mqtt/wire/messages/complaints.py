"""Says once of each sender that its messages cannot be read: a log is no place for a flood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    import logging

_MOST = 100
"""Senders that are named: a client may publish to any number of topics."""


class Complaints:
    """One log line for each topic, and one when there are too many of them.

    Args:
        log: of the module that reads the messages.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._known: set[str] = set()

    def is_new(self, about: str) -> bool:
        """Whether a line is worth writing: none was about this, and there are not too many."""
        if about in self._known or len(self._known) > _MOST:
            return False
        self._known.add(about)
        return True

    def note(self, topic: str, error: Exception) -> None:
        """A message of this topic was ignored."""
        if not self.is_new(topic):
            return
        if len(self._known) > _MOST:
            self._log.warning("unreadable messages on more than %d topics are ignored", _MOST)
        else:
            self._log.warning(
                "unreadable message ignored topic=%s error=%s; no further line for this topic",
                shown(topic),
                error,
            )
