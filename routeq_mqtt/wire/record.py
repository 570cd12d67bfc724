"""The failed record: a job that will not be tried again, with everything needed to see why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.packing import pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRecord:
    """One failed job.

    Attributes:
        id: of the job.
        queue: where it belongs.
        job: its name; None where the message was unreadable.
        reason: "exception", "timeout", "failed on purpose", "unreadable", "unsupported version",
            "unknown job", "expired" or "worker died while running it".
        error: the last error, in one text.
        attempts: the error of each attempt, tracebacks bounded.
        worker: who gave up; None: the scheduler did.
        failed_at: UTC epoch seconds.
        envelope: the message's bytes as they came.
    """

    id: str
    queue: str
    job: str | None
    reason: str
    error: str
    attempts: list[dict[str, Any]]
    worker: str | None
    failed_at: float
    envelope: bytes

    def encode(self) -> bytes:
        """As msgpack."""
        return pack(asdict(self))

    @classmethod
    def decode(cls, payload: bytes) -> FailedRecord:
        """From msgpack.

        Raises:
            UnreadableMessage: it is no failed record.
        """
        raw = unpack(payload)
        if type(raw) is not dict:
            raise UnreadableMessage(f"a failed record is a map, not {type(raw).__name__}")
        worker, job, envelope = raw.get("worker"), raw.get("job"), raw.get("envelope")
        if type(envelope) is not bytes:
            checks.refuse("envelope", envelope, "the bytes of a message")
        return cls(
            id=checks.text("id", raw.get("id"), 200),
            queue=checks.queue("queue", raw.get("queue")),
            job=None if job is None else checks.text("job", job, 200),
            reason=checks.text("reason", raw.get("reason"), 200),
            error=str(raw.get("error") or ""),
            attempts=checks.maps("attempts", raw.get("attempts", [])),
            worker=None if worker is None else checks.text("worker", worker, 500),
            failed_at=checks.epoch("failed_at", raw.get("failed_at")),
            envelope=envelope,
        )
