"""Gives each message that comes to the scheduler to the role that it is for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.presence import Presence
    from routeq_mqtt.scheduler.roles import Roles
    from routeq_mqtt.transport.seam import Connection, Message


class Inbox:
    """What is to be kept waits for a commit; all else is acknowledged as it is read.

    Args:
        context: what the roles share.
        presence: defends our status against another instance's.
        roles: whom messages are for.

    Attributes:
        answering: requests that are being answered.
    """

    def __init__(self, context: Context, presence: Presence, roles: Roles) -> None:
        self.answering: set[asyncio.Task[None]] = set()
        self._context = context
        self._presence = presence
        self._roles = roles

    def deliver(self, connection: Connection, message: Message) -> None:
        """Take a message."""
        topics, context = self._context.topics, self._context
        if message.topic == topics.scheduler:
            self._presence.look_at_other(connection, message)
        if context.surroundings.fold(message):
            connection.acknowledge(message)
        elif topics.worker_of(message.topic) is not None:
            connection.acknowledge(message)
            self._hear_of_worker(connection, message)
        elif message.topic.startswith(topics.rpc("")) and message.topic != topics.rpc("census"):
            connection.acknowledge(message)
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
            roles.devices.heard(None if member is None else member.status)
            if context.link.connection is not connection:
                roles.reaper.spare(worker)  # said before we were here
            context.fleet_changed.fire()
            context.parked.fire()
        else:
            roles.balancer.heard(worker)
        if fleet.standing(worker) != before:
            roles.rounds.fleet_moved()

    def _answer(self, message: Message) -> None:
        answering = self._roles.registrar.answer(message, self._roles.intake.behind())
        task = asyncio.create_task(answering, name=message.topic)
        self.answering.add(task)
        task.add_done_callback(self.answering.discard)
