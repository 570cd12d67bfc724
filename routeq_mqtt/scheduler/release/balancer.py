"""Finds workers whose slots are all taken while others have free ones, and asks them to share.

The worker does the rest (`routeq_mqtt.worker.consume.sharing`): nothing here is remembered beyond
this process, and nothing has to be taken back if it dies.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.presence.fleet import Member
    from routeq_mqtt.scheduler.context import Context

log: logging.Logger = logging.getLogger(__name__)

PATIENCE = 0.3
"""Seconds for which one is full and another is not before anybody is asked: a fast queue is never
that uneven."""

_ASK_AGAIN = 1.0
_REMIND = 5.0
"""Seconds until one is asked again: where jobs wait, and where none does as far as it can see."""


class Balancer:
    """Looks at each load that a worker reports; busy ones report ten times a second.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._full_since: dict[str, float] = {}
        self._free_since: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}

    def heard(self, worker: str) -> None:
        """A worker has reported its load."""
        now = self._context.clock.monotonic()
        member = self._context.fleet.members.get(worker)
        if member is None or member.status is None or member.status.state != "online":
            for times in (self._full_since, self._free_since, self._asked_at):
                times.pop(worker, None)
            return
        if _has_room(member):
            self._full_since.pop(worker, None)
            if self._free_since.setdefault(worker, now) == now:
                self._context.parked.notify()  # it may have joined its groups again
            return
        self._free_since.pop(worker, None)
        # Also where nothing waits: more may lie behind what it has read, and it takes no more.
        if self._is_to_be_asked(worker, member, now) and self._somebody_has_room(member, now):
            self._ask(worker, now)

    def _is_to_be_asked(self, worker: str, member: Member, now: float) -> bool:
        since = self._full_since.setdefault(worker, now)
        wait = _ASK_AGAIN if any(member.load.waiting.values()) else _REMIND
        asked = self._asked_at.get(worker, -wait)
        return now - since >= PATIENCE and now - asked >= wait

    def _somebody_has_room(self, member: Member, now: float) -> bool:
        queues = set(member.status.queues) if member.status is not None else set()
        members = self._context.fleet.members
        for other, since in self._free_since.items():
            status = members[other].status if other in members else None
            if status is None or status.state != "online":
                continue
            if now - since >= PATIENCE and queues & set(status.queues):
                return True
        return False

    def _ask(self, worker: str, now: float) -> None:
        connection = self._context.link.connection
        if connection is not None:
            log.info("asked to share worker=%s", worker)
            self._asked_at[worker] = now
            connection.publish(self._context.topics.share(worker), b"")


def _has_room(member: Member) -> bool:
    """A slot is free, and nothing waits that is about to take it."""
    status, load = member.status, member.load
    if status is None or load.drained:
        return False
    return sum(load.active.values()) + sum(load.waiting.values()) < status.concurrency
