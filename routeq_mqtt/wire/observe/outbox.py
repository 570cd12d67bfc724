"""What waits in the outbox of a producer: retained, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import read_json_map


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxReport:
    """One outbox, on ``routeq/outbox/<id>``; cleared when nothing is in it. Times are UTC epoch.

    Attributes:
        place: host and path of the file.
        jobs: that wait to be sent.
        size: of their envelopes, in bytes.
        oldest_at: when the first of them came in; None: none waits.
        dropped: jobs that were deleted for room, since the file was made.
        refused: jobs that the broker did not take, which are kept aside.
        at: when this was counted.
    """

    place: str
    jobs: int = 0
    size: int = 0
    oldest_at: float | None = None
    dropped: int = 0
    refused: int = 0
    at: float = 0.0

    def encode(self) -> bytes:
        """As JSON; what cannot be encoded (in the name of a file) is replaced."""
        said = json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)
        return readable(said).encode()

    @classmethod
    def decode(cls, payload: bytes) -> OutboxReport:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        values = checks.read_fields(read_json_map(payload, "a report of an outbox"), _FIELDS)
        if "place" not in values:
            raise UnreadableMessage("the field `place` is missing")
        return cls(**values)


_FIELDS: dict[str, checks.Check] = {
    "place": checks.words("place", 1_000),
    "jobs": checks.count("jobs", 0),
    "size": checks.count("size", 0),
    "oldest_at": checks.epoch("oldest_at"),
    "dropped": checks.count("dropped", 0),
    "refused": checks.count("refused", 0),
    "at": checks.epoch("at"),
}
