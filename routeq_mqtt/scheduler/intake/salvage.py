"""One message that raises an unexpected error keeps no other from the database."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import StaleDatabase
from routeq_mqtt.scheduler.store.failed_records import refused_row
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.intake.commit import Commit

log: logging.Logger = logging.getLogger(__name__)


class Salvage:
    """Stores what is in a commit piece by piece, where it cannot be stored at once.

    Each statement of the store may be repeated: what is there already changes nothing.

    Args:
        store: stores a commit.
        now: UTC epoch seconds.
    """

    def __init__(
        self, store: Callable[[Commit], Awaitable[None]], now: Callable[[], float]
    ) -> None:
        self._store = store
        self._now = now
        self._complaints = Complaints(log)

    async def run(self, commit: Commit, error: Exception) -> None:
        """Store each piece by itself; a job that cannot be stored becomes a failed record.

        Raises:
            StoreUnavailable: try again, with all of it.
            StaleDatabase: another scheduler has taken over; nothing of it may be acknowledged.
        """
        self.note("commit", error)
        for piece in commit.pieces():
            try:
                await self._store(piece)
            except (StoreUnavailable, StaleDatabase):
                raise
            except Exception as reason:  # noqa: BLE001 - whatever it is, the others go on
                await self._refuse(piece, reason)
            commit.admitted |= piece.admitted

    async def _refuse(self, piece: Commit, error: Exception) -> None:
        rows = [*piece.rows, *piece.back, *piece.special]
        for row in rows:
            record = refused_row(row, error, self._now())
            log.error("a job cannot be stored, see failed id=%s error=%r", record.id, error)
            try:
                await self._store(type(piece)(failed=[record]))
            except (StoreUnavailable, StaleDatabase):
                raise
            except Exception:
                log.exception("a job cannot be stored, nor its failed record id=%s", row.id)
        if not rows:
            self.note("piece of a commit", error)

    def note(self, what: str, error: Exception) -> None:
        """Log an unexpected error, its traceback once for each kind."""
        kind = f"{what} {type(error).__name__}"
        if self._complaints.is_new(kind):
            log.error("unexpected error in a %s: %r", what, error, exc_info=error)
