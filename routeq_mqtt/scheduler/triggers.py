"""Messages of devices become jobs: the scheduler listens, so that none is lost without a worker.

A share group without members drops what it is sent, and tells no publisher of MQTT 3.1.1. The
scheduler's plain subscriptions belong to a persistent session instead, which the broker keeps over
its own restarts: it collects while the scheduler is away. A message is acknowledged after the
commit of its job's row; one that comes again gets the same id, and so the same row.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, ConnectionLost
from routeq_mqtt.scheduler import sql
from routeq_mqtt.wire.names import check_chosen_name
from routeq_mqtt.wire.trigger import Trigger, check_pattern

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.transport.seam import Connection

log = logging.getLogger(__name__)

_REFUSED = 0x80


class Triggers:
    """Which messages become jobs: rows, read from memory.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._triggers: dict[tuple[str, str], Trigger] = {}
        self.methods: dict[str, Callable[[dict[str, Any]], Awaitable[object]]] = {
            "trigger.add": self._add,
            "trigger.list": self._list,
            "trigger.forget": self._forget,
        }

    async def load(self) -> None:
        """Read what was declared."""
        for pattern, job, queue, with_topic in await self._context.store.database.read(
            sql.TRIGGERS
        ):
            self._triggers[pattern, job] = Trigger(
                pattern=pattern, job=job, queue=queue, with_topic=bool(with_topic)
            )

    async def listen(self, connection: Connection) -> None:
        """Subscribe to every trigger's messages, on a new connection."""
        filters = sorted({one.filter for one in self._triggers.values()})
        if filters:
            granted = await connection.subscribe(*filters)
            for name, code in zip(filters, granted, strict=True):
                if code >= _REFUSED:
                    log.error("the broker refuses a trigger's subscription filter=%s", name)

    def matching(self, topic: str) -> list[Trigger]:
        """The triggers of a topic."""
        return [one for one in self._triggers.values() if one.match(topic) is not None]

    # -- what was asked ------------------------------------------------------------------------

    async def _add(self, args: dict[str, Any]) -> object:
        one = Trigger(
            pattern=str(args["pattern"]),
            job=str(args["job"]),
            queue=check_chosen_name(args["queue"], "trigger: queue"),
            with_topic=bool(args.get("with_topic")),
        )
        topics = self._context.topics
        reserved = (f"{topics.control}/", topics.delivery_prefix, topics.intake_prefix)
        check_pattern(one.pattern, "trigger", reserved=reserved)
        if self._triggers.get((one.pattern, one.job)) != one:
            await self._subscribe(one)
            values = (one.pattern, one.job, one.queue, one.with_topic)
            await self._context.store.database.write(sql.ADD_TRIGGER, [values])
            self._triggers[one.pattern, one.job] = one
            log.info("trigger=%s job=%s queue=%s", one.pattern, one.job, one.queue)
        return asdict(one)

    async def _subscribe(self, one: Trigger) -> None:
        connection = await self._context.link.ready()
        try:
            granted = await connection.subscribe(one.filter)
        except ConnectionLost:
            return  # the next connection subscribes to what is declared by then
        if granted[0] >= _REFUSED:
            raise ConfigurationError(
                f"the broker does not let the scheduler subscribe to {one.filter!r}; "
                "check its access control"
            )

    async def _list(self, args: dict[str, Any]) -> object:
        return [asdict(one) for one in self._triggers.values()]

    async def _forget(self, args: dict[str, Any]) -> object:
        pattern = str(args["pattern"])
        gone = [key for key in self._triggers if key[0] == pattern]
        await self._context.store.database.write(sql.FORGET_TRIGGER, gone)
        filters = {self._triggers.pop(key).filter for key in gone}
        unused = filters - {one.filter for one in self._triggers.values()}
        connection = self._context.link.connection
        if unused and connection is not None:
            await connection.unsubscribe(*unused)
        return {"forgotten": len(gone)}
