"""Gives each message that comes to the scheduler to the role that it is for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.tasks import Tasks
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.lifecycle.presence import Presence
    from routeq_mqtt.scheduler.lifecycle.single_instance import InstanceLock
    from routeq_mqtt.scheduler.services import Services
    from routeq_mqtt.transport.base import Connection, Message

log: logging.Logger = logging.getLogger(__name__)


class Inbox:
    """What is to be kept waits for a commit; all else is acknowledged as it is read.

    Args:
        context: what the roles share.
        presence: defends our status against another instance's.
        roles: whom messages are for.
        place: learns when another scheduler has taken it.

    Attributes:
        answering: requests that are being answered.
    """

    def __init__(
        self, context: Context, presence: Presence, roles: Services, place: InstanceLock
    ) -> None:
        self.answering: Tasks = Tasks()
        self._complaints = Complaints(log)
        self._context = context
        self._presence = presence
        self._roles = roles
        self._place = place

    def deliver(self, connection: Connection, message: Message) -> None:
        """Take a message. One that is handled at once, and cannot be, is logged and ignored."""
        try:
            self._deliver(connection, message)
        except Exception as error:
            if self._complaints.is_new(f"{message.topic} {type(error).__name__}"):
                log.exception("unexpected error in a message topic=%s", shown(message.topic))
            connection.acknowledge(message)

    def _deliver(self, connection: Connection, message: Message) -> None:
        topics, context = self._context.topics, self._context
        if message.topic == topics.scheduler:
            self._presence.look_at_other(connection, message)
        if context.surroundings.fold(message) or self._roles.retained.came(message):
            connection.acknowledge(message)
        elif topics.lineage_of(message.topic) is not None:
            self._place.hear(message)
            connection.acknowledge(message)
        elif topics.worker_of(message.topic) is not None:
            self._hear_of_worker(connection, message)
        elif self._roles.observers.heard(connection, message):
            pass
        elif message.topic.startswith(topics.rpc("")) and message.topic != topics.rpc("census"):
            connection.acknowledge(message)
            if not message.retain:  # else it was asked before, perhaps long ago
                self._answer(message)
        elif self._roles.control.fold(message) or message.topic.startswith(
            (topics.probe(""), topics.session(""))
        ):
            connection.acknowledge(message)
        else:
            self._roles.intake.add(connection, message)

    def _hear_of_worker(self, connection: Connection, message: Message) -> None:
        context, fleet, roles = self._context, self._context.fleet, self._roles
        worker = str(context.topics.worker_of(message.topic))
        before = fleet.standing(worker)
        fleet.fold(message.topic, message.payload, now=context.clock.monotonic())
        if message.topic.startswith(context.topics.worker("")):
            member = fleet.members.get(worker)
            status = None if member is None else member.status
            roles.devices.heard(status)
            # Acknowledged when its sessions are on disk: jobs may wait in them from now on.
            context.sessions.heard(status, lambda: connection.acknowledge(message))
            if context.link.connection is not connection:
                roles.reaper.spare(worker)  # said before we were here
            context.fleet_changed.notify()
            context.parked.notify()
        else:
            connection.acknowledge(message)
        roles.balancer.heard(worker)
        if fleet.standing(worker) != before:
            roles.rounds.fleet_moved()

    def _answer(self, message: Message) -> None:
        answering = self._roles.registrar.answer(message, self._roles.intake.behind())
        self.answering.start(answering, message.topic)
