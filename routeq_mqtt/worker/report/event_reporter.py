"""What a worker tells of its jobs while they run: events, counters, and the load in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.jobs.hooks import wanted
from routeq_mqtt.worker.execute.outcome import DONE, event_of

if TYPE_CHECKING:
    from routeq_mqtt.bus.features.events import Events
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.outcome import Outcome
    from routeq_mqtt.worker.report.job_log import JobLog
    from routeq_mqtt.worker.report.load import LoadReports
    from routeq_mqtt.worker.report.stats import RunStats


_FIRST = {"attempt": 1}
"""What most events add."""


class EventReporter:
    """Reports what happens to a worker's jobs: events, counters and the load.

    Args:
        sender: the connection.
        events: for subscribers.
        reports: of the load, to the scheduler and the command line.
        stats: counts outcomes and times.
        job_log: a line for each job that is done.
    """

    def __init__(
        self,
        sender: Sender,
        events: Events,
        reports: LoadReports,
        stats: RunStats,
        job_log: JobLog,
    ) -> None:
        self._stats = stats
        self._sender = sender
        self._events = events
        self._reports = reports
        self._job_log = job_log

    async def make_known(self) -> None:
        """Report that a job is about to start; returns when the broker is there to hear it."""
        await self._sender.link.ready()
        self._report()

    def before_start(self) -> None:
        """Report that a job is about to start: now, while there are few; soon, with others."""
        if self._reports.rate_limited:
            self._reports.soon()
        else:
            self._report()

    def _report(self) -> None:
        self._reports.now()
        connection = self._sender.link.connection
        if connection is not None:
            connection.flush()  # the bytes are with the kernel before the job takes its first step

    def starts(self, held: Delivery) -> None:
        """It is about to take its first step: only hooks hear of it so soon."""
        self._stats.begins(held)
        if wanted("started"):
            job, attempt = _named(held)
            self._events.fire(held.queue, "started", held.job_id, job, attempt=attempt)

    def goes_on(self) -> None:
        """A job has not ended in its first step."""
        self._stats.goes_on()

    def started(self, held: Delivery) -> None:
        """It took its first step. What is told a moment later need not keep a job waiting."""
        self._publish(held, "started")

    def _publish(self, held: Delivery, event: str) -> None:
        """Only tell the bus."""
        job, attempt = _named(held)
        more = _FIRST if attempt == 1 else {"attempt": attempt}
        self._events.publish(held.queue, event, held.job_id, job, more)

    def progress(self, held: Delivery, word: dict[str, Any]) -> None:
        """It says how far it is."""
        if held.envelope is not None:
            self._tell(held, "progress", **word)
            self._reports.soon()

    def over(self, held: Delivery, outcome: Outcome, *, quick: bool = False) -> None:
        """It has ended; an outcome that no process needs is not reported.

        Args:
            held: the job.
            outcome: how it ended.
            quick: it is plain, and ended in its first step.
        """
        told = event_of(outcome)
        if told is not None:
            event, more = told
            self._reports.counters[event] += 1
            self._job_log.over(held, outcome)
            if quick and outcome is DONE and held.envelope is not None:
                self._stats.done(held, held.envelope)
            else:
                self._stats.ends(held, event, outcome)
            if wanted(event) or more:
                self._tell(held, event, **more)
            else:
                self._publish(held, event)

    def called_off(self, held: Delivery, outcome: Outcome) -> None:
        """It ended without having started."""
        self.over(held, outcome)
        self._reports.soon()

    def _tell(self, held: Delivery, event: str, **more: object) -> None:
        job, attempt = _named(held)
        self._events.tell(held.queue, event, held.job_id, job, attempt=attempt, **more)


def _named(held: Delivery) -> tuple[str, int]:
    """Job and attempt, as events say them."""
    envelope = held.envelope
    return ("?", 1) if envelope is None else (envelope.job, envelope.attempt)
