"""What the scheduler says of each queue, and what is wrong: retained, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import read_json_map
from routeq_mqtt.wire.messages import replies

AlertKind = Literal["queue stuck", "failure rate", "scheduler", "outbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueNumbers:
    """One queue, on ``routeq/queues/<queue>``. Times are UTC epoch seconds.

    They are times rather than ages, so that a queue in which nothing happens sends nothing.

    Attributes:
        queue: its name.
        delayed: jobs that are not due yet.
        parked: due, and no worker has them: in the scheduler, or in the embedded broker.
        waiting: held by a worker that has not started them.
        running: running now.
        held: waiting for other jobs: a chain, or what a batch comes to.
        limited: waiting for their turn, of a limit.
        failed: failed records.
        oldest_at: when the job became due that has waited longest; None: none waits that we see.
        running_since: when the job was started that has run longest; None: none runs.
        workers, slots: of this queue, that are online; jobs that they can run at once.
        done_total, failed_total: outcomes since statistics began; they survive restarts.
        paused: workers were ordered to start none of it.
        rate: [jobs, seconds] that may start; None: the queue has no limit of its own.
        exact: False: the broker may hold more jobs, which cannot be counted.
        at: when this was counted.
    """

    queue: str
    delayed: int = 0
    parked: int = 0
    waiting: int = 0
    running: int = 0
    held: int = 0
    limited: int = 0
    failed: int = 0
    oldest_at: float | None = None
    running_since: float | None = None
    workers: int = 0
    slots: int = 0
    done_total: int = 0
    failed_total: int = 0
    paused: bool = False
    rate: tuple[float, float] | None = None
    exact: bool = True
    at: float = 0.0

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, payload: bytes) -> QueueNumbers:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        return replies.read(cls, read_json_map(payload, "a queue's numbers"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that needs a person.

    Attributes:
        key: the same for as long as it lasts, for example ``queue stuck/reports``.
        kind: what is wrong.
        queue: where; None: it is about the whole bus.
        since: when it began, UTC epoch seconds.
        text: what is wrong and what to do, in one line.
    """

    key: str
    kind: str
    queue: str | None = None
    since: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """All that is wrong now, on ``routeq/alerts``; `at`: when this changed."""

    alerts: list[Alert] = field(default_factory=list)
    at: float = 0.0

    def encode(self) -> bytes:
        """As JSON."""
        return readable(json.dumps(asdict(self), separators=(",", ":"))).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Alerts:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        return cls(**checks.read_fields(read_json_map(payload, "alerts"), _ALERTS))


def read_alert(value: Any) -> Alert:  # noqa: ANN401 - whatever came
    """One alert, from a map; raises as `replies.read` does."""
    return replies.read(Alert, value)


_ALERTS: dict[str, checks.Check] = {
    "alerts": checks.list_of("alerts", read_alert, most=10_000),
    "at": checks.epoch("at"),
}
