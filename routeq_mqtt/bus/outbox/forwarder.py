"""Sends what waits in an outbox: in order, pipelined, and deletes what somebody else has.

| the process dies | what happens |
|---|---|
| before the commit of `dispatch` | `dispatch` did not return: nothing was accepted |
| after the commit, before it is sent | it is in the file; the next forwarder sends it |
| sent, before the acknowledgement | sent again; the scheduler drops an id that it has |
| acknowledged, before it is deleted | the same |
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Literal

from routeq_mqtt.bus.outbox.batching import OutboxBatch, cut
from routeq_mqtt.errors import (
    ConnectionFailed,
    ConnectionLost,
    NoConsumer,
    NoScheduler,
    OutboxUnavailable,
    PublishRefused,
    RequestFailed,
    RouteqError,
    UnreadableMessage,
)
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.transport.backoff import with_backoff
from routeq_mqtt.wire.display import moment
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.messages.requests import Ping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.outbox.outbox import Outbox
    from routeq_mqtt.outbox.rows import OutboxRow

log: logging.Logger = logging.getLogger(__name__)

_WINDOW = 2_000
_TAKE_OVER_EVERY = 1.0
"""Seconds between two looks whether the process that forwards has died."""

_MAX_WAIT = 5.0
_CAREFUL_AFTER = 3
"""Passes without progress, after which jobs are sent one by one: one may be the cause."""

_STRIKES = 5
"""How often a job may break the connection, or vanish, all alone, before it is set aside."""

_QUOTA_EXCEEDED = 0x97
_ROUNDING = 1e-6

State = Literal["starting", "standby", "sending", "idle", "stuck"]


class Forwarder:
    """Sends the jobs of one outbox; one process does at a time, by a lock.

    Args:
        outbox: where they wait.
        sender: the connection that they go out on; not connected before there is need.
        requests: for durable dispatch.
        clock: what has expired.
        timeout: seconds that the scheduler may take to answer.
    """

    def __init__(
        self, outbox: Outbox, sender: Sender, requests: Requests, clock: Clock, *, timeout: float
    ) -> None:
        self.state: State = "starting"
        self.last_error: RouteqError | None = None
        self._outbox = outbox
        self._sender = sender
        self._requests = requests
        self._clock = clock
        self._timeout = timeout
        self._taken_over = Notifier()
        self._fruitless = 0
        self._strikes: Counter[str] = Counter()
        self._rate = _Rate(outbox.options.max_rate, clock)

    @property
    def goes_on(self) -> bool:
        """Whether this process sends, and nothing but a connection that broke is in its way."""
        if self.state == "standby" or self._sender.link.last_error is not None:
            return False
        return self.state != "stuck" or isinstance(self.last_error, ConnectionLost)

    @property
    def trouble(self) -> RouteqError | None:
        """Why nothing goes out now, as far as this process knows."""
        return self._sender.link.last_error or self.last_error

    async def run(self) -> None:
        """Forward for ever, whenever no other process does."""
        while True:
            if not self._take_lock():
                self.state = "standby"
                await self._taken_over.wait(_TAKE_OVER_EVERY)
                continue
            try:
                await self._forward()
            finally:
                self.state = "standby"
                self._outbox.lock.release()

    def take_over(self) -> None:
        """Begin to send now if no other process does, instead of at the next look."""
        if self.state == "standby" and self._take_lock():
            self.state = "starting"
            self._taken_over.notify()

    def _take_lock(self) -> bool:
        """Whether this process is the one that sends; also after the lock's file was deleted."""
        lock = self._outbox.lock
        try:
            return lock.take()
        except OSError as error:
            trouble = OutboxUnavailable(
                f"this process keeps jobs in the outbox {self._outbox.options.path} and may not "
                f"send them: {error}. Give its user write access to {lock.path}, as to the "
                "outbox itself; until then a process that has it sends them"
            )
        if str(trouble) != str(self.last_error):  # once, not each second
            log.error("%s", trouble)
        self.last_error = trouble
        return False

    async def _forward(self) -> None:
        self._sender.link.start()
        while self._take_lock():
            self.state = "sending"
            moved = await with_backoff(
                self.forward,
                ConnectionFailed,
                NoScheduler,
                NoConsumer,
                PublishRefused,
                RequestFailed,
                OutboxUnavailable,
                max_wait=_MAX_WAIT,
                note=self._note,
            )
            if not moved:
                self.state = "idle"
                await self._outbox.more()

    def _note(self, error: BaseException, attempt: int) -> None:
        self.state = "stuck"
        self.last_error = error if isinstance(error, RouteqError) else None
        level = logging.WARNING if attempt in {1, 10, 100} else logging.DEBUG
        log.log(level, "jobs wait in the outbox error=%s", error)

    # -- one pass ------------------------------------------------------------------------------

    async def forward(self) -> int:
        """One pass: send the oldest jobs, settle them; how many left the outbox.

        Raises:
            RouteqError: some were not taken, and none of them left.
        """
        limit = 1 if self._fruitless >= _CAREFUL_AFTER else _WINDOW
        rows = await self._outbox.head(await self._rate.room(limit))
        if not rows:
            return 0
        await self._requests.listen()
        self.state = "sending"
        parcels = list(cut(rows, self._clock.now()))
        results = await asyncio.gather(*(self._send(p) for p in parcels), return_exceptions=True)
        gone, aside, trouble = _sorted(parcels, results)
        if trouble is not None and len(rows) == 1 and await self._is_to_blame(rows[0], trouble):
            aside = [(rows[0], f"sent alone {_STRIKES} times, and each time: {trouble}")]
        await self._settle(gone, aside)
        self._rate.spend(len(gone) + len(aside))
        if gone or aside:
            self._fruitless = 0
            self._strikes.clear()
            self.last_error = None
            return len(gone) + len(aside)
        self._fruitless += 1
        assert trouble is not None  # noqa: S101 - each row is gone, aside or in trouble
        raise trouble

    async def _settle(
        self, gone: Sequence[OutboxRow], aside: Sequence[tuple[OutboxRow, str]]
    ) -> None:
        for row, error in aside:
            log.error("job set aside id=%s queue=%s error=%s", row.id, row.queue, error)
        # A full disk cannot even delete; sending again meanwhile would help nobody.
        await with_backoff(
            lambda: self._outbox.settle(gone, aside),
            OutboxUnavailable,
            max_wait=_MAX_WAIT,
            note=self._note,
        )

    async def _is_to_blame(self, row: OutboxRow, trouble: RouteqError) -> bool:
        """Whether a job that was sent alone is itself why nothing goes on."""
        if isinstance(trouble, NoScheduler):
            try:
                await self._requests.ask(Ping(), timeout=self._timeout)
            except RouteqError:
                return False
        elif not isinstance(trouble, ConnectionLost):
            return False
        self._strikes[row.id] += 1
        return self._strikes[row.id] >= _STRIKES

    # -- one parcel ----------------------------------------------------------------------------

    async def _send(self, parcel: OutboxBatch) -> list[tuple[OutboxRow, str]]:
        """Send a parcel; which of its jobs are refused for good, and why. The others are taken."""
        try:
            await self._hand_over(parcel)
        except PublishRefused as error:
            if error.reason == _QUOTA_EXCEEDED:
                raise
            if len(parcel.rows) == 1:
                return [(parcel.rows[0], str(error))]
            refused = [await self._send(OutboxBatch(parcel.way, [row])) for row in parcel.rows]
            return [one for several in refused for one in several]
        return []

    async def _hand_over(self, parcel: OutboxBatch) -> None:
        row, topics = parcel.rows[0], self._sender.topics
        if parcel.way == "store":
            payloads = [row.envelope for row in parcel.rows]
            await self._requests.exchange(topics.store(row.queue), payloads, timeout=self._timeout)
        elif parcel.way == "queue":
            await self._sender.send(row.queue, row.envelope)
        elif parcel.way == "schedule":
            await self._sender.to_scheduler(topics.schedule, row.envelope)
        else:
            await self._sender.to_scheduler(topics.failed, self._expired(row))

    def _expired(self, row: OutboxRow) -> bytes:
        try:
            job = Envelope.decode(row.envelope).job
        except UnreadableMessage:
            job = None
        return FailedRecord(
            id=row.id,
            queue=row.queue,
            job=job,
            reason="expired",
            error=f"expired at {moment(row.expires_at)}, while it waited in an outbox",
            attempts=[],
            worker=None,
            failed_at=self._clock.now(),
            envelope=row.envelope,
        ).encode()


def _sorted(
    parcels: Sequence[OutboxBatch],
    results: Sequence[list[tuple[OutboxRow, str]] | BaseException],
) -> tuple[list[OutboxRow], list[tuple[OutboxRow, str]], RouteqError | None]:
    """Rows that are gone, rows that are refused, and what kept the others."""
    gone: list[OutboxRow] = []
    aside: list[tuple[OutboxRow, str]] = []
    trouble: RouteqError | None = None
    for parcel, result in zip(parcels, results, strict=True):
        if isinstance(result, RouteqError):
            trouble = trouble or result
        elif isinstance(result, BaseException):
            raise result
        else:
            refused = {row.seq for row, _ in result}
            aside.extend(result)
            gone.extend(row for row in parcel.rows if row.seq not in refused)
    return gone, aside, trouble


class _Rate:
    """Limits jobs per second, in short bursts of a tenth of a second."""

    def __init__(self, per_second: float | None, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._allowed = 0.0
        self._at = clock.monotonic()

    async def room(self, limit: int) -> int:
        """Wait until a job may go; how many may."""
        if self._per_second is None:
            return limit
        self._refill()
        while self._allowed < 1 - _ROUNDING:
            await asyncio.sleep((1 - self._allowed) / self._per_second)
            self._refill()
        return min(limit, int(self._allowed + _ROUNDING))

    def _refill(self) -> None:
        assert self._per_second is not None  # noqa: S101 - asked by the only caller
        now = self._clock.monotonic()
        most = max(1.0, self._per_second / 10)
        self._allowed = min(most, self._allowed + (now - self._at) * self._per_second)
        self._at = now

    def spend(self, jobs: int) -> None:
        """Count jobs that were sent."""
        self._allowed -= jobs
