"""Who did what: a log line for each action, and the last ones for the page."""

from __future__ import annotations

import json
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from routeq_mqtt.wire.display import readable, tame

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock

log: logging.Logger = logging.getLogger("routeq_mqtt.dashboard.audit")

_KEPT = 200
_LONGEST = 1_000


class Audit:
    """The audit log.

    Args:
        clock: of the entries.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def note(self, *, user: str, address: str, action: str, args: object, outcome: str) -> None:
        """One action, done or refused.

        Args:
            user: who.
            address: from where.
            action: what, as the scheduler calls it.
            args: its arguments.
            outcome: what came of it.
        """
        told = readable(json.dumps(args, ensure_ascii=False, default=str))[:_LONGEST]
        log.info(
            "action=%s user=%s from=%s args=%s outcome=%s",
            action, _word(user), address, tame(told), _word(outcome),
        )  # fmt: skip
        self.entries.appendleft(
            {
                "at": self._clock.now(),
                "user": user,
                "from": address,
                "action": action,
                "args": told,
                "outcome": outcome,
            }
        )


def _word(text: str) -> str:
    return tame(json.dumps(readable(text[:_LONGEST]), ensure_ascii=False))
