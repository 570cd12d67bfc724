"""The failed record: a job that will not be tried again, with everything needed to see why."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.envelopes.attempts import LONGEST, bounded
from routeq_mqtt.wire.packing import pack, unpack

REFUSED = "refused"
"""The reason of a job that bore no good signature, or that no key here could open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRecord:
    """One failed job.

    Attributes:
        id: of the job.
        queue: where it belongs.
        job: its name; None where the message was unreadable.
        reason: "exception", "timeout", "failed on purpose", "unreadable", "unsupported version",
            "unknown job", "refused" (signature, encryption), "expired",
            "worker died while running it", or what is larger than the broker takes: "its result
            cannot travel", "its retry cannot travel", "it cannot travel".
        error: the last error, in one text; at most 4,000 characters are encoded.
        attempts: the error of each attempt, bounded when encoded.
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
        """As msgpack. Texts that cannot be encoded are replaced, so that no record is lost."""
        packed = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        packed["error"] = readable(self.error[:LONGEST])
        packed["attempts"] = bounded(self.attempts)
        return pack(packed)

    @classmethod
    def decode(cls, payload: bytes) -> FailedRecord:
        """From msgpack. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is not a failed record; says which field is wrong, and how.
        """
        raw = unpack(payload)
        if type(raw) is not dict:
            raise UnreadableMessage(f"a failed record is a map, not {type(raw).__name__}")
        values = {name: check(raw.get(name)) for name, check in _CHECKS.items()}
        return cls(**values)


def _error(value: Any) -> str:  # noqa: ANN401 - whatever came
    if type(value) is not str:
        checks.refuse("error", value, "a text")
    return value[:LONGEST]


_CHECKS: dict[str, checks.Check] = {
    "id": checks.text("id", 200),
    "queue": checks.queue("queue"),
    "job": checks.or_none(checks.text("job", 200)),
    "reason": checks.text("reason", 200),
    "error": _error,
    "attempts": checks.flat_maps("attempts"),
    "worker": checks.or_none(checks.text("worker", 500)),
    "failed_at": checks.epoch("failed_at"),
    "envelope": checks.raw("envelope"),
}
