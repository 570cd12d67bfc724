"""What a process announces to the scheduler: its schedules, each with the job that it sends."""

from __future__ import annotations

import logging
from dataclasses import asdict

from routeq_mqtt.boundary import described, one_line
from routeq_mqtt.jobs.codec import to_envelope
from routeq_mqtt.jobs.keywords import name_of
from routeq_mqtt.jobs.schedule import schedules
from routeq_mqtt.wire.envelopes.options import from_the_start
from routeq_mqtt.wire.messages.requests import AnnouncedSchedule

log: logging.Logger = logging.getLogger(__name__)


def announcement(now: float) -> list[AnnouncedSchedule]:
    """Every schedule of this process, as it travels.

    One whose job cannot be made (a constructor, a default or a key method raises) is logged and
    left out; the others are announced.
    """
    said = []
    for schedule, job_class in schedules().values():
        try:
            envelope = to_envelope(job_class(), now=now)
            template = envelope.evolve(
                id=None, dispatched_at=None, options=from_the_start(envelope.options)
            ).encode()
        except BaseException as error:  # noqa: BLE001 - the boundary of users' code
            raised = described(error)
            log.error(
                "schedule=%s does not run, its job cannot be made job=%s error=%s\n%s",
                schedule.name,
                name_of(job_class),
                one_line(raised.line),
                raised.for_log,
            )
        else:
            said.append(AnnouncedSchedule(**asdict(schedule), envelope=template))
    return said
