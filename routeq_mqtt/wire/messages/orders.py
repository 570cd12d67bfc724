"""Orders of the scheduler to all workers, retained for as long as they hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, cast

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.maps import read_json_map

OrderKind = Literal["cancel", "paused", "drained", "limited", "recalled", "purge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order.

    Attributes:
        kind: "cancel" a job, a queue is "paused" or "limited", a worker is "drained", a delivery
            of a job is "recalled", or "purge" a queue: that one is not retained.
        name: of the job, queue or worker.
        holds: False: it is withdrawn.
        at: when it was given, UTC epoch seconds; None: that is not known.
    """

    kind: OrderKind
    name: str
    holds: bool
    at: float | None = None

    @classmethod
    def decode(cls, kind: str, name: str, payload: bytes) -> Order:
        """From the last two levels of its topic and a JSON payload, or none where it is withdrawn.

        Raises:
            UnreadableMessage: it is no order; says what is wrong.
        """
        check = _NAMES.get(kind)
        if check is None:
            known = ", ".join(_NAMES)
            raise UnreadableMessage(f"{shown(kind)} is not a kind of order; {known} are")
        at = given_at(payload) if payload else None
        return cls(kind=cast("OrderKind", kind), name=check(name), holds=bool(payload), at=at)


def given_at(payload: bytes) -> float | None:
    """When an order that holds was given, of its payload.

    Raises:
        UnreadableMessage: it is not the payload of an order; says what is wrong.
    """
    return _at(read_json_map(payload, "an order").get("at"))  # type: ignore[no-any-return]


def encode_order(at: float) -> bytes:
    """The payload of an order that was given at a time, UTC epoch seconds."""
    return json.dumps({"at": at}).encode()


_at = checks.or_none(checks.epoch("at"))
_NAMES: dict[str, checks.Check] = {
    "cancel": checks.text("job", 200),
    "paused": checks.queue("queue"),
    "drained": checks.queue("worker"),
    "limited": checks.queue("queue"),
    "recalled": checks.text("delivery", 300),
    "purge": checks.queue("queue"),
}
