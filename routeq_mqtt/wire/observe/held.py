"""A question of the scheduler to workers: which of you holds this job? And the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.maps import read_map
from routeq_mqtt.wire.packing import pack

LARGEST = 64 * 1024
"""Bytes of a message that is sent along; of a larger one only where it is."""

_token = checks.text("id", 60)
_job = checks.text("job", 400)
_QUESTION: dict[str, checks.Check] = {"id": _token, "job": _job}
_ANSWER: dict[str, checks.Check] = {
    "id": _token,
    "job": _job,
    "worker": checks.text("worker", 400),
    "queue": checks.queue("queue"),
    "running": checks.boolean("running"),
}


def _complete(values: dict[str, Any], needed: dict[str, checks.Check]) -> dict[str, Any]:
    missing = needed.keys() - values.keys()
    if missing:
        raise UnreadableMessage(f"the field `{min(missing)}` is missing")
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldQuestion:
    """Who holds a job? `id` is repeated in the answer."""

    id: str
    job: str

    def encode(self) -> bytes:
        """As msgpack."""
        return pack({"id": self.id, "job": self.job})

    @classmethod
    def decode(cls, payload: bytes) -> HeldQuestion:
        """From msgpack.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        values = checks.read_fields(read_map(payload, "a question"), _QUESTION)
        return cls(**_complete(values, _QUESTION))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAnswer:
    """I do. One that does not hold the job says nothing.

    Attributes:
        id: of the question.
        job: its id.
        worker: who has it.
        queue: that it came from.
        running: it has begun; else it waits for a slot.
        message: the job as it came, so that what is sealed stays sealed; empty: it is too large.
    """

    id: str
    job: str
    worker: str
    queue: str
    running: bool
    message: bytes = b""

    def encode(self) -> bytes:
        """As msgpack."""
        return pack({
            "id": self.id, "job": self.job, "worker": self.worker, "queue": self.queue,
            "running": self.running, "message": self.message,
        })  # fmt: skip

    @classmethod
    def decode(cls, payload: bytes) -> HeldAnswer:
        """From msgpack.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        raw = read_map(payload, "an answer")
        message = raw.get("message", b"")
        if type(message) is not bytes or len(message) > LARGEST:
            raise UnreadableMessage(f"message: bytes, {LARGEST:,} at most")
        return cls(**_complete(checks.read_fields(raw, _ANSWER), _ANSWER), message=message)
