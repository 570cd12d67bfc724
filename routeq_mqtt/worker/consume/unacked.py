"""What a session holds, and who that belongs to.

A connection that comes back resumes the session, and the broker sends again what is not
acknowledged. What still runs or waits here only gets its new message to acknowledge; what has
ended here is acknowledged again; what the broker does not send again is somebody else's now.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from routeq_mqtt.notifier import Notifier

if TYPE_CHECKING:
    from routeq_mqtt.worker.delivery import Delivery, Key

_REMEMBERED = 10_000


class UnackedDeliveries:
    """The messages of one session that are not acknowledged yet, and which of them are still ours.

    Attributes:
        held: every message that is not acknowledged, by its key.
        unconfirmed: those that the broker has yet to send again on the new connection.
        news: fires when it is known of some of them whose they are.
    """

    def __init__(self) -> None:
        self.held: dict[Key, Delivery] = {}
        self.unconfirmed: dict[Key, Delivery] = {}
        self.news: Notifier = Notifier()
        self._ended: OrderedDict[Key, bool] = OrderedDict()

    def reconnected(self) -> None:
        """The connection is new: the broker will say what is still ours."""
        self.unconfirmed.update(self.held)

    def decided(self) -> None:
        """It has sent all that it sends again."""
        self.unconfirmed.clear()
        self.news.notify()

    def session_is_new(self) -> None:
        """What comes under the packet ids of what we hold is something else."""
        for held in [held for held in self.held.values() if held.unnamed]:
            del self.held[held.key]
            held.key = (*held.key, object())
            self.held[held.key] = held

    def may_come_again(self, held: Delivery) -> bool:
        """Of a message without an id: whether its packet id still means this one.

        It does not if the session that brought it is gone: in the present one that packet id and
        the same bytes are another message, which has not run.
        """
        return held.key == (held.message.packet_id, held.payload)

    def add(self, held: Delivery) -> None:
        """Hold a message."""
        if held.key in self.held:
            held.key = (*held.key, object())  # without an id, and alike to the byte
        self.held[held.key] = held

    def renew(self, again: Delivery) -> bool:
        """Whether a message that came again is still here; then that one is to be acknowledged.

        It may come on the same connection, and behind new ones: NATS sends what it misses the
        acknowledgement of after its `ack_wait`.
        """
        before = self.unconfirmed.pop(again.key, None) or self.held.get(again.key)
        if before is None:
            return False
        connection, message = again.connection, again.message
        if before.connection is connection and before.message.packet_id != message.packet_id:
            connection.acknowledge(message)  # its sender had sent it twice
        else:
            before.connection, before.message = connection, message
        self.news.notify()
        return True

    def remove(self, held: Delivery) -> None:
        """It is no longer ours."""
        self.held.pop(held.key, None)

    def end(self, held: Delivery) -> None:
        """It is about to be acknowledged; remembered, should the acknowledgement get lost."""
        self.held.pop(held.key, None)
        self.unconfirmed.pop(held.key, None)
        if held.unnamed:
            return  # its packet id comes again: see `Unnamed`
        self._ended[held.key] = held.done
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    # -- what has ended here -------------------------------------------------------------------

    def has_ended(self, held: Delivery) -> bool:
        """Whether this very delivery has ended here."""
        return held.key in self._ended

    def was_done(self, held: Delivery) -> bool:
        """Whether it did its work here."""
        return bool(self._ended.get(held.key))

    def is_copy(self, held: Delivery) -> bool:
        """A new message of a job that is or was here: its sender lost the PUBACK and sent again."""
        if held.unnamed:
            return False
        return held.key in self._ended or held.key in self.held

    def was_lost(self, held: Delivery) -> bool:
        """Of a copy: whether a retry or failed record of ours never came to the scheduler.

        It sends a row again when a census has found it nowhere, and an answer to that comes behind
        all that was handed over: only a broker that lost its memory can have lost that.
        """
        envelope = held.envelope
        stored = envelope is not None and envelope.stored
        return stored and self._ended.get(held.key) is False and held.key not in self.held

    def forget_end(self, held: Delivery) -> None:
        """It runs again."""
        del self._ended[held.key]

    def done_lately(self) -> dict[tuple[str, str], int]:
        """Jobs of the scheduler's rows that were done here lately, each with its latest attempt.

        Returns:
            Attempts, by key of the row and by what proves it.
        """
        attempts: dict[tuple[str, str], int] = {}
        for key, done in self._ended.items():
            if done and len(key) == 4:
                row = (str(key[0]), key[3] if isinstance(key[3], str) else "")
                attempts[row] = max(int(str(key[1])), attempts.get(row, 0))
        return attempts
