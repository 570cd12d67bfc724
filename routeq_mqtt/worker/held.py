"""A message that a worker holds: received, not yet acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from routeq_mqtt.errors import UnreadableMessage
    from routeq_mqtt.transport.seam import Connection, Message
    from routeq_mqtt.wire.envelope import Envelope

Key = tuple[object, ...]


class Holder(Protocol):
    """Who brought a held message and takes its acknowledgement."""

    def settle(self, held: Held) -> None:
        """The outcome is safe in its next place: acknowledge."""
        ...

    def owns(self, held: Held) -> bool:
        """Whether the broker is connected and has not given the message to somebody else."""
        ...

    async def until_owned(self, held: Held) -> None:
        """Wait until the broker has said so."""
        ...


class Held:
    """One job between its PUBLISH and its PUBACK.

    Attributes:
        envelope: what the message says, decoded once; None where it is unreadable.
        error: why it is unreadable.
        connection, message: what to acknowledge; renewed when a resumed session delivers it again.
        started: the job has begun to run here.
        ended: it has run here, and its outcome is on its way to its next place.
        done: it did its work here.
        dropped: the job is no longer ours: whatever it does now, nothing is acknowledged.
    """

    __slots__ = (
        "connection",
        "done",
        "dropped",
        "ended",
        "envelope",
        "error",
        "holder",
        "job_id",
        "key",
        "message",
        "payload",
        "queue",
        "started",
    )

    def __init__(
        self,
        holder: Holder,
        queue: str,
        connection: Connection,
        message: Message,
        envelope: Envelope | None,
        error: UnreadableMessage | None,
        job_id: str,
    ) -> None:
        self.holder = holder
        self.queue = queue
        self.connection = connection
        self.message = message
        self.payload = message.payload
        self.envelope = envelope
        self.error = error
        self.job_id = job_id
        self.started = False
        self.ended = False
        self.done = False
        self.dropped = False
        # Fixed here: what tells this delivery from every other one of the same session.
        if envelope is not None and envelope.id is not None:
            self.key: Key = (envelope.id, envelope.attempt, envelope.deliveries)
        else:
            self.key = (message.packet_id, message.payload)
