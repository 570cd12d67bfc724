"""A log line for each job that is done; failures and retries are logged where they are decided."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.worker.execute.outcome import Done

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.outcome import Outcome

log: logging.Logger = logging.getLogger(__name__)


class JobLog:
    """Logs each job that is done with the seconds that it ran.

    Args:
        clock: measures them.
        enabled: whether it logs at all.
    """

    def __init__(self, clock: Clock, *, enabled: bool) -> None:
        self._clock = clock
        self._enabled = enabled

    def over(self, held: Delivery, outcome: Outcome) -> None:
        """It has ended; when it began is still known."""
        if not self._enabled or not isinstance(outcome, Done) or held.envelope is None:
            return
        log.info(
            "job=%s id=%s queue=%s attempt=%d outcome=done seconds=%.3f",
            held.envelope.job,
            held.job_id,
            held.queue,
            held.envelope.attempt,
            self._clock.monotonic() - held.began,
        )
