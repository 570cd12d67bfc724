"""The scheduler's persistent session: the broker collects in it what comes while we are away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.bus.send.broker_info import BrokerInfo
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.transport.reconnecting import Link

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.store import Store
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message, Transport, Will

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


def inputs(topics: Topics, surroundings: BrokerInfo) -> list[str]:
    """Where jobs come in; the intake only where the broker does not share it itself."""
    filters = [
        topics.schedule,
        topics.retry,
        topics.failed,
        topics.done,
        topics.result,
        topics.back,
        topics.store("+"),
        topics.rpc("+"),
    ]
    if surroundings.shares_queue:
        return filters
    return [*filters, topics.all_dealt_intake if surroundings.deals else topics.all_intake]


def proof(topics: Topics) -> str:
    """What is published here comes back if the session has its subscriptions."""
    return topics.probe(f"{SCHEDULER_CLIENT_ID}/subscribed")


async def make_session(transport: Transport, topics: Topics, store: Store, *, deals: bool) -> None:
    """Subscribe before there is a Last Will: its word is that a session collects for us.

    A scheduler that died between its first CONNECT and SUBSCRIBE would say so falsely,
    and a producer whose broker does not tell 0x10 would believe it.

    Where nothing is delivered again, every PUBACK has arrived, or the session is new, be it that a
    scheduler died behind its CONNECT: what we know of its messages is over. That is on disk before
    the session gets anything.

    Raises:
        StoreUnavailable: the database cannot be written.
    """
    surroundings = BrokerInfo(topics, SCHEDULER_CLIENT_ID, deals=deals)
    again: set[Connection] = set()

    async def set_up(connection: Connection) -> None:
        if connection.session_present:
            await connection.publish(topics.session(SCHEDULER_CLIENT_ID), b"")
        if connection not in again and await store.given_ids(SCHEDULER_CLIENT_ID):
            await store.forget_given(SCHEDULER_CLIENT_ID)
        if not connection.session_present:
            await surroundings.look(connection)
            # The last one tells the link of the scheduler that this session has its subscriptions.
            filters = inputs(topics, surroundings)
            await connection.subscribe(topics.all_orders, *filters, proof(topics))

    def fold(connection: Connection, message: Message) -> None:
        surroundings.fold(message)  # not acknowledged: it comes again when there is a store
        if message.dup:
            again.add(connection)

    options = ConnectOptions(SCHEDULER_CLIENT_ID, persistent=True, session_expiry=_NEVER)
    link = Link(transport, options, fold, set_up=set_up, max_wait=MAX_WAIT)
    link.start()
    try:
        await link.ready()
    finally:
        await link.close()
