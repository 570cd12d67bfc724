"""What a worker has counted since its start: retained on ``routeq/stats/<worker id>``, JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import read_json_map
from routeq_mqtt.wire.observe.tally import Tally, read_tally

OTHER = "other"
"""Stands for the job classes that are too many to be counted apart."""

MOST_PAIRS = 500
"""Pairs of queue and job class that one worker counts apart."""

Pair = tuple[str, str]
"""Queue and job class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """Cumulative numbers of one worker: a worker's id is new for each start, and so are they.

    Attributes:
        tallies: for each pair of queue and job class.
        since: for each queue, when the job that has run longest was started, UTC epoch seconds.
    """

    tallies: dict[Pair, Tally]
    since: dict[str, float] = field(default_factory=dict)

    def encode(self) -> bytes:
        """As JSON."""
        jobs = [
            {"queue": queue, "job": readable(job), **tally.as_map()}
            for (queue, job), tally in self.tallies.items()
        ]
        return json.dumps({"jobs": jobs, "since": self.since}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, payload: bytes) -> WorkerStats:
        """From JSON. Fields that this version does not know are left out.

        Raises:
            UnreadableMessage: it is invalid; says which field is wrong, and how.
        """
        raw = read_json_map(payload, "a worker's statistics")
        values = checks.read_fields(raw, _STATS)
        return cls(tallies=dict(values.get("jobs", [])), since=values.get("since", {}))


def _one(value: Any) -> tuple[Pair, Tally]:  # noqa: ANN401 - whatever came
    raw = checks.text_map("jobs")(value)
    return (_queue(raw.get("queue")), _job(raw.get("job"))), read_tally(raw)


_queue = checks.queue("jobs: queue")
_job = checks.text("jobs: job", 200)
_STATS: dict[str, checks.Check] = {
    "jobs": checks.list_of("jobs", _one, most=2 * MOST_PAIRS),
    "since": checks.map_of("since", checks.queue("since"), checks.epoch("since"), most=10_000),
}
