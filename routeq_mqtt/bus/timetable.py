"""What a process announces to the scheduler: its schedules, each with the job that it sends."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from routeq_mqtt.job.codec import to_envelope
from routeq_mqtt.job.schedule import schedules
from routeq_mqtt.wire.options import from_the_start


def announcement(now: float) -> list[dict[str, Any]]:
    """Every schedule of this process, as it travels.

    Raises:
        TypeError: a job class needs values that a schedule does not have.
    """
    said = []
    for schedule, job_class in schedules().values():
        envelope = to_envelope(job_class(), now=now)
        template = envelope.evolve(
            id=None, dispatched_at=None, options=from_the_start(envelope.options)
        )
        said.append(asdict(schedule) | {"envelope": template.encode()})
    return said
