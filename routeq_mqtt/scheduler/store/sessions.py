"""The sessions of workers, remembered on disk from their first status until they are adopted.

A session is a member of its queue's group for as long as the broker keeps it, also when the
retained status of its worker is gone: lost by the broker, or cleared by hand. Then only this table
knows that jobs wait in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.status import WIRE, WorkerStatus
from routeq_mqtt.scheduler.store.passes import repeat
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import sessions as sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.presence.fleet import Fleet
    from routeq_mqtt.scheduler.store.database import Database


class Sessions:
    """Sessions that have not been adopted.

    Args:
        database: where they are written down.
        fleet: the workers that have a status.
    """

    def __init__(self, database: Database, fleet: Fleet) -> None:
        self._db = database
        self._fleet = fleet
        self._known: dict[str, dict[str, str]] = {}
        self._heard: dict[str, tuple[dict[str, str], Callable[[], None]]] = {}
        self._news = Notifier()

    async def load(self) -> None:
        """Read which sessions an earlier scheduler knew."""
        for session, worker, queue in await self._db.read(sql.SESSIONS):
            self._known.setdefault(worker, {})[session] = queue

    def heard(self, status: WorkerStatus | None, written: Callable[[], None]) -> None:
        """A worker has published its status.

        Args:
            status: what it says; None: it is gone, or unreadable.
            written: called once its sessions are on disk: its message may be acknowledged.
        """
        sessions = {} if status is None or status.state == "adopted" else _sessions_of(status)
        if status is None or sessions.items() <= self._known.get(status.id, {}).items():
            written()
            return
        before = self._heard.get(status.id)
        if before is not None:
            # The first message stays unacknowledged for both: the broker keeps one, not hundreds.
            written()
            sessions, written = before[0] | sessions, before[1]
        self._heard[status.id] = sessions, written
        self._news.notify()

    async def run(self) -> None:
        """Write down what was heard."""
        await repeat(self.look, self._news, "cannot remember sessions")

    async def look(self) -> None:
        """One pass: write down what was heard, then have it acknowledged."""
        heard, self._heard = self._heard, {}
        if not heard:
            return
        rows = [
            (session, worker, queue)
            for worker, (sessions, _) in heard.items()
            for session, queue in sessions.items()
        ]
        try:
            await self._db.write(sql.SEE_SESSION, rows)
        except StoreUnavailable:
            self._heard = heard | self._heard
            raise
        for worker, (sessions, written) in heard.items():
            self._known.setdefault(worker, {}).update(sessions)
            written()

    async def forget(self, worker: str) -> None:
        """Its sessions have been adopted.

        Raises:
            StoreUnavailable: try again.
        """
        if worker in self._known:
            await self._db.write(sql.FORGET_SESSIONS, [(worker,)])
            self._known.pop(worker, None)

    def of(self, worker: str) -> dict[str, str]:
        """The queue of each known session of a worker."""
        return dict(self._known.get(worker, {}))

    def unowned(self) -> list[WorkerStatus]:
        """Workers with sessions and without a status, each as the lost one that it most likely is.

        One that lives publishes its status again with its next heartbeat.
        """
        members = self._fleet.members
        return [
            WorkerStatus(
                id=worker,
                state="lost",
                queues=list(sessions.values()),
                sessions=list(sessions),
                wire=WIRE,
            )
            for worker, sessions in self._known.items()
            if worker not in members or members[worker].status is None
        ]


def _sessions_of(status: WorkerStatus) -> dict[str, str]:
    return dict(zip(status.sessions, status.queues, strict=False))
