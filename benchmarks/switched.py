"""An ``--app`` for a worker whose statistics can be switched off and on while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt import Job
from routeq_mqtt.worker.report.stats import RunStats

if TYPE_CHECKING:
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.outcome import Outcome

_on = True
_begins, _done, _ends = RunStats.begins, RunStats.done, RunStats.ends


class Switch(Job):
    """From the next job on this worker counts, or does not."""

    on: bool

    async def handle(self) -> bool:
        global _on  # noqa: PLW0603 - of the worker's process
        _on = self.on
        return _on


def _begins_if(stats: RunStats, held: Delivery) -> None:
    if _on:
        _begins(stats, held)


def _done_if(stats: RunStats, held: Delivery, envelope: Envelope) -> None:
    if _on:
        _done(stats, held, envelope)


def _ends_if(stats: RunStats, held: Delivery, event: str, outcome: Outcome) -> None:
    if _on:
        _ends(stats, held, event, outcome)


RunStats.begins = _begins_if  # type: ignore[assignment,method-assign]
RunStats.done = _done_if  # type: ignore[assignment,method-assign]
RunStats.ends = _ends_if  # type: ignore[assignment,method-assign]
