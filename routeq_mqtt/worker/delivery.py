"""A message that a worker holds: received, not yet acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from routeq_mqtt.errors import UnreadableMessage
    from routeq_mqtt.transport.base import Connection, Message
    from routeq_mqtt.wire.envelopes.envelope import Envelope

Key = tuple[object, ...]


class Limit(Protocol):
    """The time limit of a run, as far as its slot looks at it."""

    in_thread: bool
    """It waits for a thread, which cannot be cancelled."""


class DeliverySource(Protocol):
    """Who brought a held message and takes its acknowledgement."""

    def settle(self, held: Delivery) -> None:
        """The outcome is safe in its next place: acknowledge."""
        ...

    def owns(self, held: Delivery) -> bool:
        """Whether the broker is connected and has not given the message to somebody else."""
        ...

    async def until_owned(self, held: Delivery) -> None:
        """Wait until the broker has said so."""
        ...


class Delivery:
    """One job between its PUBLISH and its PUBACK.

    Attributes:
        job_id: what it is reported by: its id, or the key of its row where that is another.
        envelope: what the message says, decoded once; None where it is unreadable.
        error: why it is unreadable.
        connection, message: what to acknowledge; renewed when a resumed session delivers it again.
        started: the job has begun to run here.
        ended: it has run here, and its outcome is on its way to its next place.
        done: it did its work here.
        dropped: the job is no longer ours: whatever it does now, nothing is acknowledged.
        stopping: the worker has cancelled this run; a cancellation without that is the job's own.
        run: counts its runs here: one that was given up no longer has a say.
        limit: of the present run, once it waits for something.
        unnamed: its message has no id.
        began: when it took its first step, by the monotonic clock; 0: it does not run.
    """

    __slots__ = (
        "began",
        "connection",
        "done",
        "dropped",
        "ended",
        "envelope",
        "error",
        "holder",
        "job_id",
        "key",
        "limit",
        "message",
        "payload",
        "queue",
        "run",
        "started",
        "stopping",
        "unnamed",
    )

    def __init__(
        self,
        holder: DeliverySource,
        queue: str,
        connection: Connection,
        message: Message,
        envelope: Envelope | None,
        error: UnreadableMessage | None,
        job_id: str,
    ) -> None:
        self.holder: DeliverySource = holder
        self.queue: str = queue
        self.connection: Connection = connection
        self.message: Message = message
        self.payload: bytes = message.payload
        self.envelope: Envelope | None = envelope
        self.error: UnreadableMessage | None = error
        self.job_id: str = job_id
        self.started: bool = False
        self.ended: bool = False
        self.done: bool = False
        self.dropped: bool = False
        self.stopping: bool = False
        self.run: int = 0
        self.began: float = 0.0
        self.limit: Limit | None = None
        # Fixed here: what tells this delivery from every other one of the same session.
        self.unnamed: bool = envelope is None or envelope.id is None
        if envelope is not None and envelope.id is not None:
            # Its row's token, or all that it says: others may send other things under its id.
            proof = envelope.row or hash(message.payload)
            self.key: Key = (job_id, envelope.attempt, envelope.deliveries, proof)
        else:
            self.key = (message.packet_id, message.payload)

    @property
    def row(self) -> str | None:
        """What proves that the scheduler sent it, where it did."""
        return None if self.envelope is None else self.envelope.row
