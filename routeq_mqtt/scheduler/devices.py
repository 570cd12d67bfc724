"""The devices that this bus knows: workers with a name, remembered while they are away."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql_devices
from routeq_mqtt.scheduler.rows import StoreUnavailable
from routeq_mqtt.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from routeq_mqtt.presence.status import WorkerStatus
    from routeq_mqtt.scheduler.context import Context

log = logging.getLogger(__name__)

_GATHER = 0.2
"""Seconds in which what devices say is gathered into one write."""
_WRITE_EVERY = 60.0
"""Seconds between two writes of a device that has nothing new to say."""
_STORE_AGAIN = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A named device; `seen_at`: when it was heard last, UTC epoch seconds."""

    name: str
    tags: dict[str, str]
    seen_at: float

    def has(self, where: Mapping[str, str]) -> bool:
        """Whether it has all of these tags."""
        return all(self.tags.get(key) == value for key, value in where.items())


class Devices:
    """Remembers devices on disk, before anybody is told of them.

    Args:
        context: what the roles share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, Device] = {}
        self._heard: dict[str, WorkerStatus] = {}
        self._news = Signal()
        self.methods: dict[str, Callable[[dict[str, Any]], Awaitable[object]]] = {
            "device.list": self._list,
            "device.forget": self._forget,
        }

    async def load(self) -> None:
        """Read who was here."""
        rows = await self._context.store.database.read(sql_devices.DEVICES)
        for name, tags, seen_at in rows:
            self._known[name] = Device(name=name, tags=json.loads(tags), seen_at=seen_at)

    def heard(self, status: WorkerStatus | None) -> None:
        """A worker said something; it may be gone before there is time to write it down."""
        if status is not None and status.name is not None and status.state == "online":
            self._heard[status.name] = status
            self._news.fire()

    async def run(self) -> None:
        """Write down who was heard."""
        while True:
            since = self._news.fired
            try:
                await self.look()
            except StoreUnavailable as error:
                log.error("cannot remember devices: error=%s", error)
                await asyncio.sleep(_STORE_AGAIN)
                continue
            await self._news.wait(since=since)
            await asyncio.sleep(_GATHER)

    async def look(self) -> None:
        """One pass: write down who is new, changed, or was not written down for long."""
        now, heard = self._context.clock.now(), self._heard
        self._heard = {}
        devices = [
            Device(name=name, tags=dict(status.tags), seen_at=now) for name, status in heard.items()
        ]
        news = [device for device in devices if self._is_news(device)]
        values = [(one.name, json.dumps(one.tags), one.seen_at) for one in news]
        if not values:
            return
        try:
            await self._context.store.database.write(sql_devices.SEE_DEVICE, values)
        except StoreUnavailable:
            self._heard = heard | self._heard
            raise
        self._known.update((device.name, device) for device in news)

    def _is_news(self, device: Device) -> bool:
        known = self._known.get(device.name)
        if known is None or known.tags != device.tags:
            return True
        return not 0 <= device.seen_at - known.seen_at < _WRITE_EVERY

    async def matching(self, where: Mapping[str, str]) -> list[str]:
        """Names of all devices with these tags, here or away, in order."""
        await self.look()
        return sorted(device.name for device in self._known.values() if device.has(where))

    async def _list(self, args: dict[str, Any]) -> object:
        await self.look()
        now = self._context.clock.now()
        online = {status.name for status in self._context.fleet.online()}
        return [
            asdict(replace(device, seen_at=now) if name in online else device)
            | {"online": name in online}
            for name, device in sorted(self._known.items())
        ]

    async def _forget(self, args: dict[str, Any]) -> object:
        """It gets no broadcast from now on, until it is here again."""
        name = str(args["name"])
        if name not in self._known:
            raise LookupError(f"no device is named {name!r}")
        await self._context.store.database.write(sql_devices.FORGET_DEVICE, [(name,)])
        self._known.pop(name, None)
        return name
