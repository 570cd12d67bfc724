"""What the broker counts; `$SYS` shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since the start of the broker.

    Attributes:
        connections: that were accepted.
        refused: CONNECTs and connections that were turned away.
        bytes_received, bytes_sent: over all sockets.
        packets_received, packets_sent: of any kind.
        published: PUBLISH packets from clients.
        delivered: PUBLISH packets to clients.
        dropped: messages that a full session or a client's packet size kept from a subscriber.
        expired, expired_sessions: what was of no use any more.
        most_connected: connections at once, at most so far.
    """

    connections: int = 0
    refused: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    packets_sent: int = 0
    published: int = 0
    delivered: int = 0
    dropped: int = 0
    expired: int = 0
    expired_sessions: int = 0
    most_connected: int = 0
