"""Answers the scheduler's question where a job is that no database has."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe.held import LARGEST, HeldAnswer, HeldQuestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.worker.consume.session import QueueSession

log: logging.Logger = logging.getLogger(__name__)


class HeldJobs:
    """Jobs on the express lane are known to their worker only, until they have failed.

    Args:
        worker_id: who answers.
        sender: the connection.
        sessions: what is held.
    """

    def __init__(self, worker_id: str, sender: Sender, sessions: Sequence[QueueSession]) -> None:
        self._worker_id = worker_id
        self._sender = sender
        self._sessions = sessions
        self._complaints = Complaints(log)

    def asked(self, message: Message) -> None:
        """Answer, if it is here."""
        try:
            question = HeldQuestion.decode(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return
        answer = self._find(question)
        connection = self._sender.link.connection
        if answer is not None and connection is not None:
            topic = self._sender.topics.held(self._worker_id)
            connection.publish(topic, answer.encode(), qos=0)

    def _find(self, question: HeldQuestion) -> HeldAnswer | None:
        for session in self._sessions:
            for held in session.holdings.held.values():
                if held.job_id == question.job and not held.ended:
                    payload = held.message.payload
                    return HeldAnswer(
                        id=question.id,
                        job=question.job,
                        worker=self._worker_id,
                        queue=held.queue,
                        running=held.started,
                        message=payload if len(payload) <= LARGEST else b"",
                    )
        return None
