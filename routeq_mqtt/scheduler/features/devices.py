"""The devices that this bus knows: workers with a name, remembered while they are away."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.store.passes import repeat
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import devices as sql_devices
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.names import device_queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.presence.status import WorkerStatus
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.orders import Control

log: logging.Logger = logging.getLogger(__name__)

_GATHER = 0.2
"""Seconds in which what devices say is gathered into one write."""
_WRITE_EVERY = 60.0
"""Seconds between two writes of a device that has nothing new to say."""


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
    """Remembers devices on disk, before they are published.

    Args:
        context: what the roles share.
        control: cancels the jobs of one that is forgotten.
    """

    def __init__(self, context: Context, control: Control) -> None:
        self._context = context
        self._control = control
        self._known: dict[str, Device] = {}
        self._heard: dict[str, WorkerStatus] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self._shared: set[str] = set()
        self._news = Notifier()
        self.methods: requests.Methods = {
            requests.DeviceList: self._list,
            requests.DeviceForget: self._forget,
        }

    async def load(self) -> None:
        """Read who was here."""
        rows = await self._context.store.database.read(sql_devices.DEVICES)
        for name, tags, seen_at in rows:
            self._known[name] = Device(name=name, tags=_read_tags(tags), seen_at=seen_at)

    def heard(self, status: WorkerStatus | None) -> None:
        """A worker said something; it may be gone before there is time to write it down."""
        if status is not None and status.name is not None and status.state == "online":
            self._note_owner(status.name, status.id)
            self._heard[status.name] = status
            self._news.notify()

    def _note_owner(self, name: str, worker: str) -> None:
        """Warn once of two workers with one name: each was heard after the other, so both live."""
        now, before = self._owners.get(name, ("", ""))
        if now == worker:
            return
        self._owners[name] = (worker, now)
        if worker == before and name not in self._shared:
            self._shared.add(name)
            log.warning(
                "two workers have the name=%s workers=%s,%s; each job for that device runs on one "
                "of them: start each with a --name of its own", name, worker, now,
            )  # fmt: skip

    async def run(self) -> None:
        """Write down who was heard."""
        await repeat(self._gather, self._news, "cannot remember devices")

    async def _gather(self) -> None:
        await asyncio.sleep(_GATHER)
        await self.look()

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

    async def _list(self, asked: requests.DeviceList) -> object:
        await self.look()
        now = self._context.clock.now()
        online = {status.name for status in self._context.fleet.online()}
        return [
            asdict(replace(device, seen_at=now) if name in online else device)
            | {"online": name in online}
            for name, device in sorted(self._known.items())
        ]

    async def _forget(self, asked: requests.DeviceForget) -> object:
        """It gets no broadcast from now on, until it is here again, and none that it has not done.

        Killed in between, the device is still known: who asked got no answer, and asks again.
        """
        name = asked.name
        if name not in self._known:
            raise LookupError(f"no device is named {name!r}")
        queue = device_queue(name, "forget: device")
        members = await self._context.store.database.read(sql_devices.BROADCAST_JOBS, (queue,))
        await self._control.cancel([str(row[0]) for row in members])
        await self._context.store.database.write(sql_devices.FORGET_DEVICE, [(name,)])
        self._known.pop(name, None)
        return name


def _read_tags(text: str) -> dict[str, str]:
    """Of a row; none where they are unreadable."""
    try:
        tags = json.loads(text)
    except (ValueError, TypeError):
        return {}
    return tags if isinstance(tags, dict) else {}
