"""What a session holds, and who that belongs to.

A connection that comes back resumes the session, and the broker sends again what is not
acknowledged. What still runs or waits here only gets its new message to acknowledge; what has
ended here is acknowledged again; what the broker does not send again is somebody else's now.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from routeq_mqtt.signal import Signal

if TYPE_CHECKING:
    from routeq_mqtt.worker.held import Held, Key

_REMEMBERED = 10_000


class Holdings:
    """See the module.

    Attributes:
        held: every message that is not acknowledged, by its key.
        unsure: those of them that the broker has yet to send again, since the connection is new.
        news: fires when it has said of some of them whose they are.
    """

    def __init__(self) -> None:
        self.held: dict[Key, Held] = {}
        self.unsure: dict[Key, Held] = {}
        self.news = Signal()
        self._ended: OrderedDict[Key, bool] = OrderedDict()

    def reconnected(self) -> None:
        """The connection is new: the broker will say what is still ours."""
        self.unsure.update(self.held)

    def decided(self) -> None:
        """It has sent all that it sends again."""
        self.unsure.clear()
        self.news.fire()

    def add(self, held: Held) -> None:
        """Hold a message."""
        if held.key in self.held:
            held.key = (*held.key, object())  # without an id, and alike to the byte
        self.held[held.key] = held

    def renew(self, again: Held) -> bool:
        """Whether a message that came again is still here; then that one is to be acknowledged."""
        before = self.unsure.pop(again.key, None)
        if before is None:
            return False
        before.connection, before.message = again.connection, again.message
        self.news.fire()
        return True

    def remove(self, held: Held) -> None:
        """It is no longer ours."""
        self.held.pop(held.key, None)

    def end(self, held: Held) -> None:
        """It is about to be acknowledged; remembered, should the acknowledgement get lost."""
        self.held.pop(held.key, None)
        self.unsure.pop(held.key, None)
        self._ended[held.key] = held.done
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    # -- what has ended here -------------------------------------------------------------------

    def has_ended(self, held: Held) -> bool:
        """Whether this very delivery has ended here."""
        return held.key in self._ended

    def was_done(self, held: Held) -> bool:
        """Whether it did its work here."""
        return bool(self._ended.get(held.key))

    def is_copy(self, held: Held) -> bool:
        """A new message of a job that is or was here: its sender lost the PUBACK and sent again."""
        if held.envelope is None or held.envelope.id is None:
            return False
        return held.key in self._ended or held.key in self.held

    def was_lost(self, held: Held) -> bool:
        """Of a copy: whether a retry or failed record of ours never came to the scheduler.

        It sends a row again when a census has found it nowhere, and an answer to that comes behind
        all that was handed over: only a broker that lost its memory can have lost that.
        """
        envelope = held.envelope
        stored = envelope is not None and envelope.stored
        return stored and self._ended.get(held.key) is False and held.key not in self.held

    def forget_end(self, held: Held) -> None:
        """It runs again."""
        del self._ended[held.key]

    def done_lately(self) -> dict[str, int]:
        """Jobs that were done here lately, each with its latest attempt."""
        attempts: dict[str, int] = {}
        for key, done in self._ended.items():
            if done and len(key) == 3:
                job_id, attempt = str(key[0]), int(str(key[1]))
                attempts[job_id] = max(attempt, attempts.get(job_id, 0))
        return attempts
