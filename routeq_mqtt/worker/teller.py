"""What a worker tells of its jobs while they run: events, counters, and the load in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.worker.outcome import event_of

if TYPE_CHECKING:
    from routeq_mqtt.bus.events import Events
    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.worker.held import Held
    from routeq_mqtt.worker.load import LoadReports
    from routeq_mqtt.worker.outcome import Outcome


class Teller:
    """See the module.

    Args:
        sender: the connection.
        events: to whoever watches.
        reports: of the load, to the scheduler and the command line.
    """

    def __init__(self, sender: Sender, events: Events, reports: LoadReports) -> None:
        self._sender = sender
        self._events = events
        self._reports = reports

    async def make_known(self) -> None:
        """Report that a job is about to start; returns when the broker is there to hear it."""
        await self._sender.link.ready()
        self._report()

    def before_start(self) -> None:
        """Report that a job is about to start: now, while there are few; soon, with others."""
        if self._reports.crowded:
            self._reports.soon()
        else:
            self._report()

    def _report(self) -> None:
        self._reports.now()
        connection = self._sender.link.connection
        if connection is not None:
            connection.flush()  # the bytes are with the kernel before the job takes its first step

    def starts(self, held: Held) -> None:
        """It is about to take its first step: only hooks hear of it so soon."""
        job, attempt = _named(held)
        self._events.fire(held.queue, "started", held.job_id, job, attempt=attempt)

    def started(self, held: Held) -> None:
        """It took its first step. What is told a moment later need not keep a job waiting."""
        job, attempt = _named(held)
        self._events.publish(held.queue, "started", held.job_id, job, attempt=attempt)

    def progress(self, held: Held, word: dict[str, Any]) -> None:
        """It says how far it is."""
        if held.envelope is not None:
            self._tell(held, "progress", **word)
            self._reports.soon()

    def over(self, held: Held, outcome: Outcome) -> None:
        """It has ended; an outcome that nobody needs to hear of is not told."""
        told = event_of(outcome)
        if told is not None:
            event, more = told
            self._reports.counters[event] += 1
            self._tell(held, event, **more)

    def called_off(self, held: Held, outcome: Outcome) -> None:
        """It ended without having started."""
        self.over(held, outcome)
        self._reports.soon()

    def _tell(self, held: Held, event: str, **more: object) -> None:
        job, attempt = _named(held)
        self._events.tell(held.queue, event, held.job_id, job, attempt=attempt, **more)


def _named(held: Held) -> tuple[str, int]:
    """Job and attempt, as events say them."""
    envelope = held.envelope
    return ("?", 1) if envelope is None else (envelope.job, envelope.attempt)
