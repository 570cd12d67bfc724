"""A message that the broker keeps until somebody has acknowledged it."""

from __future__ import annotations


class Entry:
    """One message for one group or one session.

    Attributes:
        number: order of arrival; also its key in the database.
        topic, payload: as published.
        group: key of the queue group that it belongs to; None: it belongs to a session.
        owner: client identifier of the session that holds it, or that it belongs to.
        mid: packet id under which the owner was given it; 0: not yet.
        dup: it was given to somebody before.
        saved: it is in the database.
        key: tells copies of it apart from other messages.
    """

    __slots__ = ("dup", "group", "key", "mid", "number", "owner", "payload", "saved", "topic")

    def __init__(
        self,
        number: int,
        topic: str,
        payload: bytes,
        *,
        group: tuple[str, str] | None = None,
        owner: str | None = None,
        mid: int = 0,
        dup: bool = False,
        saved: bool = False,
        key: str | None = None,
    ) -> None:
        self.number = number
        self.topic = topic
        self.payload = payload
        self.group = group
        self.owner = owner
        self.mid = mid
        self.dup = dup
        self.saved = saved
        self.key = key

    def __lt__(self, other: Entry) -> bool:
        return self.number < other.number
