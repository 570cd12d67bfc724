"""What happens to jobs, as it is published: a JSON list of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.maps import read_json

_MOST = 10_000
_KNOWN = ("event", "id", "job", "queue", "by", "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSeen:
    """One event of a job; `at`: UTC epoch seconds, by the clock of who reports it.

    Attributes:
        event: started, done, retried, failed, progress, …; later versions may have others.
        by: the worker, or the client that dispatched it.
        more: `attempt`, `delay`, `error`, `reason`, `done`, `total`, `note`: what fits the event.
    """

    event: str
    id: str
    job: str = "?"
    queue: str = ""
    by: str = ""
    at: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)


def decode_events(payload: bytes) -> list[EventSeen]:
    """From JSON.

    Raises:
        UnreadableMessage: it is not a list of events; says what is wrong.
    """
    raw = read_json(payload)
    if type(raw) is not list or len(raw) > _MOST:
        raise UnreadableMessage(f"events are a list of at most {_MOST:,} maps")
    return [_event(one) for one in raw]


def _event(value: Any) -> EventSeen:  # noqa: ANN401 - whatever came
    raw = checks.text_map("an event")(value)
    values = checks.read_fields(raw, _EVENT)
    missing = {"event", "id"} - values.keys()
    if missing:
        raise UnreadableMessage(f"an event has no field `{min(missing)}`")
    return EventSeen(**values, more={n: p for n, p in raw.items() if n not in _KNOWN})


_EVENT: dict[str, checks.Check] = {
    "event": checks.text("event", 100),
    "id": checks.text("id", 400),
    "job": checks.words("job", 1_000),
    "queue": checks.queue("queue"),
    "by": checks.words("by", 1_000),
    "at": checks.epoch("at"),
}
