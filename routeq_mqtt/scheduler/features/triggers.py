"""Messages of devices become jobs: the scheduler listens, so that none is lost without a worker.

A share group without members drops what it is sent, and tells no publisher of MQTT 3.1.1. The
scheduler's plain subscriptions belong to a persistent session instead, which the broker keeps over
its own restarts: it collects while the scheduler is away. A message is acknowledged after the
commit of its job's row; one that comes again gets the same id, and so the same row.

A broker may send a message once for each subscription that it matches, and says not for which. So
those that overlap are one subscription here, wide enough for all of them.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError, ConnectionLost
from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.wire.filters import overlap, without_overlap
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.messages.trigger import Trigger, check_pattern, check_payload
from routeq_mqtt.wire.names import check_chosen_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.base import Connection

log: logging.Logger = logging.getLogger(__name__)

_REFUSED = 0x80


class Triggers:
    """Which messages become jobs: rows, read from memory.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._triggers: dict[tuple[str, str], Trigger] = {}
        self._subscribed: set[str] = set()
        self.methods: requests.Methods = {
            requests.TriggerAdd: self._add,
            requests.TriggerList: self._list,
            requests.TriggerForget: self._forget,
        }

    async def load(self) -> None:
        """Read what was declared."""
        found = await self._context.store.database.read(sql.TRIGGERS)
        for pattern, job, queue, with_topic, payload, maps in found:
            self._triggers[pattern, job] = Trigger(
                pattern=pattern,
                job=job,
                queue=queue,
                with_topic=bool(with_topic),
                payload=payload,
                maps=bool(maps),
            )

    async def listen(self, connection: Connection) -> None:
        """Subscribe to every trigger's messages, on a new connection."""
        filters = {one.filter for one in self._triggers.values()}
        wanted = without_overlap(filters)
        refused = set(await self._subscribe(connection, wanted))
        if refused - filters:
            log.warning(
                "no filter that covers several triggers is allowed, and so a message may "
                "become a job twice filters=%s",
                ",".join(refused - filters),
            )
            parts = {one for one in filters if any(overlap(one, wide) for wide in refused)}
            refused = set(await self._subscribe(connection, parts))
            wanted += parts - refused
        for name in refused:
            log.error("the broker refuses a trigger's subscription filter=%s", name)
        # An earlier scheduler may have left them in our session.
        self._subscribed = filters | set(wanted)
        await self._leave(connection, filters.difference(wanted))

    def matching(self, topic: str) -> list[Trigger]:
        """The triggers of a topic."""
        return [one for one in self._triggers.values() if one.match(topic) is not None]

    # -- what was asked ------------------------------------------------------------------------

    async def _add(self, asked: requests.TriggerAdd) -> object:
        one = Trigger(
            pattern=asked.pattern,
            job=asked.job,
            queue=check_chosen_name(asked.queue, "trigger: queue"),
            with_topic=asked.with_topic,
            payload=check_payload(asked.payload),
            maps=asked.maps,
        )
        topics = self._context.topics
        reserved = (f"{topics.control}/", topics.delivery_prefix, topics.intake_prefix)
        check_pattern(one.pattern, "trigger", reserved=reserved)
        if self._triggers.get((one.pattern, one.job)) != one:
            await self._also_listen(one)
            values = (
                one.pattern, one.job, one.queue, one.with_topic, one.payload, one.maps
            )  # fmt: skip
            await self._context.store.database.write(sql.ADD_TRIGGER, [values])
            self._triggers[one.pattern, one.job] = one
            log.info("trigger=%s job=%s queue=%s", one.pattern, one.job, one.queue)
        return asdict(one)

    async def _also_listen(self, one: Trigger) -> None:
        connection = await self._context.link.ready()
        wanted = without_overlap({one.filter, *(each.filter for each in self._triggers.values())})
        with contextlib.suppress(ConnectionLost):  # the next one subscribes to what there is then
            refused = await self._subscribe(connection, set(wanted) - self._subscribed)
            if refused:
                raise ConfigurationError(
                    f"the broker does not let the scheduler subscribe to {refused[0]!r}; "
                    "check its access control"
                )
            await self._leave(connection, self._subscribed.difference(wanted))

    async def _subscribe(self, connection: Connection, filters: Collection[str]) -> list[str]:
        """Those that the broker refuses."""
        if not filters:
            return []
        names = sorted(filters)
        granted = await connection.subscribe(*names)
        refused = [name for name, code in zip(names, granted, strict=True) if code >= _REFUSED]
        self._subscribed |= set(names).difference(refused)
        return refused

    async def _leave(self, connection: Connection, filters: Collection[str]) -> None:
        if filters:
            await connection.unsubscribe(*sorted(filters))
            self._subscribed -= set(filters)

    async def _list(self, asked: requests.TriggerList) -> object:
        return [asdict(one) for one in self._triggers.values()]

    async def _forget(self, asked: requests.TriggerForget) -> object:
        pattern = asked.pattern
        gone = [key for key in self._triggers if key[0] == pattern]
        await self._context.store.database.write(sql.FORGET_TRIGGER, gone)
        for key in gone:
            del self._triggers[key]
        connection = self._context.link.connection
        if gone and connection is not None:
            wanted = without_overlap({one.filter for one in self._triggers.values()})
            with contextlib.suppress(ConnectionLost):  # what comes of it has no trigger
                await self._subscribe(connection, set(wanted) - self._subscribed)
                await self._leave(connection, self._subscribed.difference(wanted))
        return {"forgotten": len(gone)}
