"""What a scheduler that waits to take over says of itself, retained while it waits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import read_json_map


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyStatus:
    """A standby scheduler. JSON, times are UTC epoch seconds.

    Attributes:
        instance: new for each start of the process.
        host, pid: where it runs.
        db: the SQLite file whose lock it waits for.
        version: of its package.
        started_at: since when it waits.
        at: when this was said.
    """

    instance: str
    host: str = ""
    pid: int = 0
    db: str = ""
    version: str = ""
    started_at: float = 0.0
    at: float = 0.0

    def encode(self) -> bytes:
        """As JSON; what cannot be encoded (in the name of a file) is replaced."""
        return readable(json.dumps(asdict(self), ensure_ascii=False)).encode()

    @classmethod
    def decode(cls, payload: bytes) -> StandbyStatus:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        values = checks.read_fields(read_json_map(payload, "a standby's status"), _FIELDS)
        if "instance" not in values:
            raise UnreadableMessage("the field `instance` is missing")
        return cls(**values)


_FIELDS: dict[str, checks.Check] = {
    "instance": checks.text("instance", 200),
    "host": checks.words("host", 1_000),
    "pid": checks.count("pid", 0),
    "db": checks.words("db", 10_000),
    "version": checks.words("version", 200),
    "started_at": checks.epoch("started_at"),
    "at": checks.epoch("at"),
}
