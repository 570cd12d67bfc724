"""The scheduler's persistent session: the broker collects in it what comes while we are away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.bus.surroundings import Surroundings
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.transport.link import Link
from routeq_mqtt.transport.seam import ConnectOptions

if TYPE_CHECKING:
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Connection, Message, Transport, Will

MAX_WAIT = 1.0
"""Seconds between two tries to connect, at most: a bus without its scheduler waits for it."""

_NEVER = 0xFFFFFFFF
"""Session expiry (MQTT 5, 3.1.2.11.2): the broker keeps collecting for us without an end."""

_KEEP_ALIVE = 5


def session_options(will: Will) -> ConnectOptions:
    """How the scheduler connects."""
    return ConnectOptions(
        SCHEDULER_CLIENT_ID,
        persistent=True,
        session_expiry=_NEVER,
        keep_alive=_KEEP_ALIVE,
        will=will,
    )


def inputs(topics: Topics, surroundings: Surroundings) -> list[str]:
    """What the session collects; the intake only where the broker does not share it itself."""
    filters = [
        topics.schedule,
        topics.failed,
        topics.done,
        topics.result,
        topics.back,
        topics.store("+"),
        topics.rpc("+"),
        topics.all_orders,
    ]
    return filters if surroundings.shares_queue else [*filters, topics.all_intake]


async def make_session(transport: Transport, topics: Topics) -> None:
    """Subscribe before there is a Last Will: its word is that a session collects for us.

    A scheduler that died between its first CONNECT and SUBSCRIBE would say so falsely,
    and a producer whose broker does not tell 0x10 would believe it.
    """
    surroundings = Surroundings(topics, SCHEDULER_CLIENT_ID)

    async def set_up(connection: Connection) -> None:
        if not connection.session_present:
            await surroundings.look(connection)
            await connection.subscribe(*inputs(topics, surroundings))

    def fold(connection: Connection, message: Message) -> None:
        surroundings.fold(message)  # not acknowledged: it comes again when there is a store

    options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True, session_expiry=_NEVER)
    link = Link(transport, options, fold, set_up=set_up, max_wait=MAX_WAIT)
    link.start()
    try:
        await link.ready()
    finally:
        await link.close()
