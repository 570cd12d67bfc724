"""Broadcasts: one job for each matching device, at once or one after the other as time passes.

All jobs of a broadcast are made in one transaction, under ids made of the broadcast's id and the
device's name. Those that are sent later are held rows, so that a death at any moment leaves each
of them where it was: nothing is counted in memory.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.features.uniqueness import special
from routeq_mqtt.scheduler.store.passes import repeat
from routeq_mqtt.scheduler.store.rows import NewBatch, NewRow
from routeq_mqtt.scheduler.store.schema.identity import OWN
from routeq_mqtt.scheduler.store.sql import devices as sql_devices
from routeq_mqtt.scheduler.store.sql import special as sql_special
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.names import device_queue

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.features.admission import Admission
    from routeq_mqtt.scheduler.features.devices import Devices

log: logging.Logger = logging.getLogger(__name__)

_LOOK_EVERY = 10.0
"""Seconds of waiting at most: the wall clock may be set meanwhile."""
_MAKE_UP = 1.0
"""Seconds that are made up for at most: after a day away, a day's devices are not sent at once."""

_COLUMNS = (
    "id", "name", "created_at", "total", "pending", "failed", "cancelled", "called_off",
    "finished_at", "aborted_at", "running", "held",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """What was asked for.

    Attributes:
        id: of the broadcast; the same id again is the same broadcast.
        where: tags that a device must have.
        every: seconds between two devices; None: all at once.
        abort_after: failures that abort it: a number, or a share of its devices up to 1.0.
    """

    id: str
    envelope: Envelope
    where: dict[str, str]
    every: float | None
    abort_after: float | None

    @classmethod
    def read(cls, asked: requests.DeviceBroadcast) -> Broadcast:
        """Of what was asked for.

        Raises:
            UnreadableMessage: its job is invalid; says why.
        """
        return cls(
            id=asked.id,
            envelope=Envelope.decode(asked.envelope),
            where=asked.where,
            every=asked.every,
            abort_after=asked.abort_after,
        )

    def abort_at(self, devices: int) -> int | None:
        """How many failures abort it."""
        if self.abort_after is None:
            return None
        share = self.abort_after < 1 or (self.abort_after == 1 and type(self.abort_after) is float)
        number = self.abort_after * devices if share else self.abort_after
        return max(1, ceil(round(number, 6)))  # 0.07 * 100 is 7.000000000000001


class Rollouts:
    """Broadcasts a job to devices, at once or as a rollout.

    Args:
        context: what the roles share.
        devices: who there is.
        admission: takes the jobs in.
    """

    def __init__(self, context: Context, devices: Devices, admission: Admission) -> None:
        self._context = context
        self._devices = devices
        self._admission = admission
        self._changed = Notifier()
        self._turn = asyncio.Lock()
        self.methods: requests.Methods = {
            requests.DeviceBroadcast: self._broadcast,
            requests.RolloutShow: self._show,
        }

    async def run(self) -> None:
        """Send to the next devices, then wait; where none is under way, for ever."""
        await repeat(self.send, self._changed, "cannot go on with rollouts")

    async def send(self) -> float | None:
        """One pass; seconds until the next one, None: nothing is under way."""
        now = self._context.clock.now()
        waits = [_LOOK_EVERY]
        going_on = await self._context.store.database.read(sql_devices.GOING_ON)
        for rollout, every, next_at in going_on:
            following = next_at if next_at > now else await self._send_next(rollout, every, next_at)
            waits.append(following - self._context.clock.now())
        return max(0.0, min(waits)) if going_on else None

    async def _send_next(self, rollout: str, every: float, due: float) -> float:
        """In one transaction, so that no device is sent the job twice or left out."""
        context = self._context
        now = context.clock.now()
        first = max(due, now - _MAKE_UP)
        number = 1 + int((now - first) / every)
        following = first + number * every
        context.hook("rollout: before commit")
        async with context.store.database.transaction() as work:
            await work.run(sql_devices.SEND_NEXT, (now, rollout, number))
            await work.run(sql_devices.GO_ON, (rollout, following))
        context.hook("rollout: after commit")
        context.limited = True
        context.parked.notify()
        return following

    # -- requests ------------------------------------------------------------------------------

    async def _broadcast(self, asked: requests.DeviceBroadcast) -> object:
        request = Broadcast.read(asked)
        async with self._turn:  # a request that is repeated meanwhile finds what the first one made
            if not await self._is_known(request.id):
                await self._begin(request)
        self._context.hook("broadcast: after commit")
        self._context.limited = self._context.expiring = True
        self._context.parked.notify()
        self._changed.notify()
        return request.id

    async def _is_known(self, broadcast: str) -> bool:
        return bool(await self._context.store.database.read(sql_special.BATCH, (broadcast,)))

    async def _begin(self, request: Broadcast) -> None:
        now = self._context.clock.now()
        names = await self._devices.matching(request.where)
        rows = [self._row(request, name, number, now) for number, name in enumerate(names)]
        more = []
        if request.every is not None or request.abort_after is not None:
            next_at = None if request.every is None or not rows else now
            values = (request.id, request.every or 0.0, next_at, request.abort_at(len(rows)))
            more = [(sql_devices.BEGIN_ROLLOUT, values)]
        self._context.hook("broadcast: before commit")
        batch = NewBatch(id=request.id, name=request.envelope.job, open=False)
        await self._admission.take(rows, now, batches=[batch], more=more)
        log.info("broadcast=%s job=%s devices=%d", request.id, batch.name, len(rows))

    def _row(self, request: Broadcast, device: str, number: int, now: float) -> NewRow:
        job_id, queue = f"{request.id}@{device}", device_queue(device, "broadcast: device")
        options = request.envelope.options | {"batch": request.id}
        options = self._context.tokens.admitted(options, job_id, queue)
        envelope = self._context.guard.rename(request.envelope, job_id, self._context.clock.wall())
        token = self._context.tokens.row(job_id, job_id)
        envelope = envelope.evolve(queue=queue, stored=True, row=token, options=options)
        row = NewRow(
            id=job_id,
            origin=OWN,
            queue=queue,
            attempt=1,
            deliveries=envelope.deliveries,
            state="parked",
            run_at=now,
            durable=True,
            expires_at=envelope.expires_at,
            envelope=envelope.encode(),
        )
        row = special(row, envelope, now)
        return row if request.every is None else replace(row, state="held", step=number)

    async def _show(self, asked: requests.RolloutShow) -> object:
        values = (asked.id,)
        rows = await self._context.store.database.read(sql_devices.PROGRESS, values)
        if not rows:
            raise LookupError(f"no broadcast has the id {asked.id!r}")
        return dict(zip(_COLUMNS, rows[0], strict=True))
