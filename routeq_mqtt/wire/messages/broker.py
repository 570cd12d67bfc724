"""What the embedded broker says of itself, retained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.maps import read_json_map


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerStatus:
    """What kind of broker it is.

    Attributes:
        shares_queue: it shares ``$queue/<name>`` among the workers itself.
        census: it says which jobs it has.
        version: of the broker.
        persistent: it keeps its messages in a file.
        limits: what it bounds; empty: it does not say.
    """

    shares_queue: bool = False
    census: bool = False
    version: str = ""
    persistent: bool = False
    limits: dict[str, float] = field(default_factory=dict)

    @classmethod
    def decode(cls, payload: bytes) -> BrokerStatus:
        """From JSON.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        return cls(**checks.read_fields(read_json_map(payload, "a broker's status"), _STATUS))


def decode_waiting(payload: bytes) -> dict[str, int]:
    """From JSON: how many messages wait in the broker, for each queue.

    Raises:
        UnreadableMessage: it says something else.
    """
    return _queues(read_json_map(payload, "what waits in the broker"))  # type: ignore[no-any-return]


def _waiting(value: Any) -> int:  # noqa: ANN401 - whatever came
    if type(value) is not dict:
        checks.refuse("a queue", value, "a map with the field `waiting`")
    return _count(value.get("waiting", 0))  # type: ignore[no-any-return]


_count = checks.count("waiting", 0)
_queues = checks.map_of("queues", checks.queue("a queue"), _waiting, most=1_000_000)
_STATUS: dict[str, checks.Check] = {
    "shares_queue": checks.boolean("shares_queue"),
    "census": checks.boolean("census"),
    "version": checks.words("version", 200),
    "persistent": checks.boolean("persistent"),
    "limits": checks.map_of(
        "limits", checks.text("a limit", 50), checks.number("a limit", 0, 1 << 53), most=100
    ),
}
