"""Asks workers for a job that is in no database: one that came by the express lane."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe.held import HeldAnswer, HeldQuestion

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.base import Message

log: logging.Logger = logging.getLogger(__name__)

_WITHIN = 1.0
"""Seconds after which no worker has it: one that holds the job answers, others are silent."""

_AT_ONCE = 50
"""Questions that wait for an answer; more are not asked."""


class Inquiry:
    """One question, to one worker or all, and the first answer.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._complaints = Complaints(log)
        self._prefix = context.topics.held("")
        self._waiting: dict[str, asyncio.Future[HeldAnswer]] = {}

    async def find(self, job_id: str, worker: str | None) -> HeldAnswer | None:
        """Who holds a job; None: no worker says so in time.

        Args:
            job_id: of the job.
            worker: who is asked; None: all.
        """
        connection = self._context.link.connection
        if connection is None or len(self._waiting) >= _AT_ONCE or not self._is_anybody_there():
            return None
        question = HeldQuestion(id=new_id(), job=job_id)
        answer: asyncio.Future[HeldAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[question.id] = answer
        try:
            topic = self._context.topics.ask(worker or "all")
            connection.publish(topic, question.encode(), qos=0)
            async with asyncio.timeout(_WITHIN):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[question.id]

    def _is_anybody_there(self) -> bool:
        members = self._context.fleet.members.values()
        return any(one.status is not None and one.status.state == "online" for one in members)

    def heard(self, message: Message) -> bool:
        """Take a message in; whether it was an answer."""
        if not message.topic.startswith(self._prefix):
            return False
        try:
            answer = HeldAnswer.decode(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return True
        waiting = self._waiting.get(answer.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        return True
