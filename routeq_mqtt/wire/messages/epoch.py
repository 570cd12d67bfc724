"""How new a scheduler's database is, retained for each database that has been used on a bus."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import read_json_map


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochClaim:
    """What the scheduler that uses a database says of it. JSON, times are UTC epoch seconds.

    Attributes:
        epoch: grows with each start of a scheduler, and once a minute while it writes.
        instance: of the scheduler; new for each start of the process.
        host, db: where it runs, and the path of its file.
        at: when this was said.
    """

    epoch: int
    instance: str = ""
    host: str = ""
    db: str = ""
    at: float = 0.0

    def encode(self) -> bytes:
        """As JSON; what cannot be encoded (in the name of a file) is replaced."""
        return readable(json.dumps(asdict(self), ensure_ascii=False)).encode()

    @classmethod
    def decode(cls, payload: bytes) -> EpochClaim:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        values = checks.read_fields(read_json_map(payload, "the epoch of a database"), _FIELDS)
        if "epoch" not in values:
            raise UnreadableMessage("the field `epoch` is missing")
        return cls(**values)


_FIELDS: dict[str, checks.Check] = {
    "epoch": checks.count("epoch", 0),
    "instance": checks.words("instance", 200),
    "host": checks.words("host", 1_000),
    "db": checks.words("db", 10_000),
    "at": checks.epoch("at"),
}
