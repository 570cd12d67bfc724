"""Bounds of the broker: each has a default that a gateway can live with for a year."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, or all of them, may take.

    Attributes:
        connections: at once; also never more than the limit of open files allows. One more is
            answered with 0x97 (3.1.1: 3).
        connect_rate: new connections a second from one address, after a burst of ten seconds'
            worth; beyond it 0x9F (3.1.1: 3).
        sessions: with and without a connection; one more is answered with 0x97 (3.1.1: 3).
        session_expiry: seconds for which a session outlives its connection at most.
        subscriptions: of one client; one more is answered with 0x97 (3.1.1: 0x80).
        queued_messages: that wait for one session (those of queues wait in the queue instead,
            without a limit). One more is dropped; its publisher gets 0x97 if no other subscriber
            took it.
        queued_bytes: the same in bytes.
        retained_messages: of all topics; one more is not retained: 0x97.
        retained_bytes: the same in bytes.
        packet_size: of one packet from a client; a larger one ends its connection with 0x95.
        inflight: messages that a client may have unacknowledged from us, and we from it (the
            Receive Maximum of MQTT 5).
        topic_aliases: of one connection, in each direction.
        keep_alive: seconds; a client that asks for more, or for none, is given this one where it
            speaks MQTT 5; 0: any is granted.
    """

    connections: int = 10_000
    connect_rate: float = 200.0
    sessions: int = 100_000
    session_expiry: int = 30 * 86_400
    subscriptions: int = 5_000
    queued_messages: int = 100_000
    queued_bytes: int = 256 * _MIB
    retained_messages: int = 100_000
    retained_bytes: int = 256 * _MIB
    packet_size: int = 16 * _MIB
    inflight: int = 20_000
    topic_aliases: int = 32
    keep_alive: int = 0

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Limits:
        """From names and values as a command line gives them; the rest have their defaults.

        Raises:
            ValueError: a name is not known, or a value makes no sense.
        """
        names = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in names:
                raise ValueError(f"{name}={text} is not known; there are {', '.join(names)}")
            if not re.fullmatch("[0-9]{1,12}", text):
                raise ValueError(f"{name}={text} is not a number; write {name}=1000")
            values[name] = int(text)
        return cls(**values)

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value < 0 or (value == 0 and one.name not in {"keep_alive", "topic_aliases"}):
                raise ValueError(f"{one.name}={value!r} must be more than 0")
        for name in ("inflight", "topic_aliases", "keep_alive"):
            if getattr(self, name) > 65_535:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at most 65535")
