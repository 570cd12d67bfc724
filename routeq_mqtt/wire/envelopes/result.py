"""What a job returned, on its way from the worker to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.packing import pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """The result of one run.

    Attributes:
        id: of the job.
        attempt: that returned it.
        value: packed.
        ttl: seconds for which it is kept.
        row: of the envelope that it is of; None: the job came past the scheduler.
    """

    id: str
    attempt: int
    value: bytes
    ttl: float
    row: str | None = None

    def encode(self) -> bytes:
        """As msgpack: a list."""
        row = [] if self.row is None else [self.row]
        return pack([self.id, self.attempt, self.value, self.ttl, *row])

    @classmethod
    def decode(cls, payload: bytes) -> JobResult:
        """From msgpack.

        Raises:
            UnreadableMessage: it is not a result; says which field is wrong, and how.
        """
        raw = unpack(payload)
        if type(raw) is not list or len(raw) not in {4, 5} or type(raw[2]) is not bytes:
            raise UnreadableMessage(
                "a result is a list: id, attempt, packed value, ttl in seconds, and a row or none"
            )
        row = _row(raw[4]) if len(raw) > 4 else None
        return cls(
            id=_id(raw[0]), attempt=_attempt(raw[1]), value=raw[2], ttl=_ttl(raw[3]), row=row
        )


_id = checks.text("id", 200)
_attempt = checks.count("attempt", 1)
_ttl = checks.seconds("ttl")
_row = checks.text("row", 300)
