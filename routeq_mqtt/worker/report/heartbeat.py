"""A worker's presence: its retained status, its heartbeat, and the lease on its sessions.

A thread of its own (`PresenceThread`) owns the connection that carries the Last Will. On the
worker's event loop, a handler that blocks the loop for eight seconds would let the keep-alive
expire, and the worker's jobs would be given away while they run: dead, falsely. A thread alone
would go on saying "online" for a loop that never comes back: alive, falsely. So the thread asks
the loop for a sign of life at each heartbeat, and says "lost" itself when none has come for
`stall_limit` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.presence.status import (
    HEARTBEAT,
    WorkerState,
    WorkerStatus,
    encode,
)
from routeq_mqtt.tasks import Tasks
from routeq_mqtt.transport.base import ConnectOptions, Will
from routeq_mqtt.transport.reconnecting import Link
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message, Transport

log: logging.Logger = logging.getLogger(__name__)

KEEP_ALIVE = 5

_MAX_WAIT = 1.0
"""Seconds between attempts to connect: after a restart of the broker we seem lost until then."""

LEASE = 1.5 * KEEP_ALIVE
"""Seconds from a status of ours until the broker may fire our Last Will over its silence (MQTT 5,
3.1.2.10). A connection that we see end ends the lease at once: the Last Will may be out."""

FORGOTTEN_AFTER = 1_800.0
"""Seconds without a lease after which a worker that finds no status of its own has been adopted and
forgotten: the scheduler keeps that word for twice as long."""


class Presence:
    """The presence of one worker, on whichever loop runs it.

    Attributes:
        sound_until: until then (monotonic seconds) the sessions are surely ours.

    Args:
        transport, topics, clock: the bus.
        status: what the worker is; `state`, `at` and `seq` are set here.
        fenced: called once when the scheduler has adopted the worker's sessions.
        pulse: seconds since the worker's own loop last gave a sign of life.
        stall_limit: seconds of silence of that loop after which the worker counts as lost.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        clock: Clock,
        status: WorkerStatus,
        *,
        fenced: Callable[[], None],
        pulse: Callable[[], float],
        stall_limit: float,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._status = status
        self._fenced = fenced
        self._pulse = pulse
        self._stall_limit = stall_limit
        self._state: WorkerState = "online"
        self._seq = 0
        self._heard = Notifier()
        self._complaints = Complaints(log)
        self._echoed = 0
        self._looked = False
        self._is_fenced = False
        self._is_leaving = False
        self._found = False
        self._last_sound = (clock.monotonic(), clock.now())
        self.sound_until: float = float("-inf")
        self._said: deque[tuple[int, float]] = deque()
        self._tasks = Tasks()
        self._own = topics.worker(status.id)
        self._fenced_by = topics.fence(status.id)
        self._mark = topics.session(status.id)
        will = replace(status, state="lost")
        self.link: Link = Link(
            transport,
            ConnectOptions(status.id, keep_alive=KEEP_ALIVE, will=Will(self._own, encode(will))),
            self._deliver,
            set_up=self._set_up,
            max_wait=_MAX_WAIT,
        )

    def start(self) -> None:
        """Connect and begin to beat."""
        self.link.start()
        self._tasks.keep(self._beat, "presence-heartbeat")

    async def lease(self) -> bool:
        """Whether the sessions are still ours: our own status has come back, and nothing else."""
        await self.link.ready()
        wanted = self._say(self._state)
        while self._echoed < wanted and not self._is_fenced:
            await self._heard.wait()
            wanted = min(wanted, self._seq)
        return not self._is_fenced

    def joined(self) -> None:
        """A session has joined its group: who published to an empty group before wants to know."""
        self._status = replace(self._status, joins=self._status.joins + 1)
        self._say(self._state)

    async def leave(self, state: WorkerState | None) -> None:
        """Stop beating; say why, or clear the status where `state` is None (nothing is left)."""
        self._tasks.cancel()
        self._is_leaving = True
        connection = self.link.connection
        if connection is not None and not self._is_fenced:
            said = b"" if state is None else self._status_bytes(state)
            with contextlib.suppress(ConnectionLost):  # then the Last Will speaks for us
                await connection.publish(self._own, said, retain=True)
        await self.link.close()

    # -- inside --------------------------------------------------------------------------------

    async def _set_up(self, connection: Connection) -> None:
        self._looked = self._found = False
        await connection.subscribe(self._own, self._fenced_by, self._mark)
        # Our status may say that we were adopted: read it before we say anything over it.
        connection.publish(self._mark, b"mark")
        connection.lost.add_done_callback(lambda lost: self._gone())
        while not self._looked and not connection.lost.done():
            await self._heard.wait()
        if connection.lost.done():
            return
        # The monotonic clock stands still while a machine is suspended.
        monotonic, wall = self._last_sound
        away = max(self._clock.monotonic() - monotonic, self._clock.now() - wall)
        if not self._found and away > FORGOTTEN_AFTER:
            log.warning("worker=%s was away for %.0f s and is not known any more", self._own, away)
            self._fence()
        if not self._is_fenced:
            self._publish_status(connection, self._state)

    def _gone(self) -> None:
        """The broker may have fired our Last Will with the connection: nothing is sure any more."""
        self.sound_until = float("-inf")
        self._said.clear()
        self._heard.notify()

    def _deliver(self, connection: Connection, message: Message) -> None:
        connection.acknowledge(message)
        if message.topic == self._mark:
            self._looked = True
        elif message.topic == self._fenced_by:
            if message.payload:
                self._fence()
        elif message.payload:
            self._read_own(message)
        self._heard.notify()

    def _read_own(self, message: Message) -> None:
        """Our own status, or what was said over it."""
        try:
            status = WorkerStatus.decode(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            if not message.retain:
                self._say(self._state)  # somebody wrote over it
            return
        self._found = True
        if status.state in {"adopting", "adopted"}:
            self._fence()
        elif status.state != "lost":
            self._echo(status.seq)

    def _echo(self, seq: int) -> None:
        """A status of ours came back: when we sent it, the sessions were ours.

        Not where the scheduler's word came first: a worker that was stopped says "online" before it
        reads that it was adopted, and that status comes back behind it.
        """
        if self._is_fenced:
            return
        self._echoed = max(self._echoed, seq)
        while self._said and self._said[0][0] <= seq:
            self.sound_until = self._said.popleft()[1] + LEASE
            self._last_sound = (self._clock.monotonic(), self._clock.now())

    def _fence(self) -> None:
        if self._is_fenced:
            return
        self._is_fenced = True
        self.sound_until = float("-inf")
        if not self._is_leaving:  # "stopped" asks for the adoption
            log.warning("sessions were adopted worker=%s", self._status.id)
            self._fenced()

    def _say(self, state: WorkerState) -> int:
        connection = self.link.connection
        if connection is None or self._is_fenced:  # what the scheduler said of us must stay there
            return self._seq + 1
        return self._publish_status(connection, state)

    def _publish_status(self, connection: Connection, state: WorkerState) -> int:
        self._state = state
        connection.publish(self._own, self._status_bytes(state), retain=True)
        return self._seq

    def _status_bytes(self, state: WorkerState) -> bytes:
        self._seq += 1
        self._said.append((self._seq, self._clock.monotonic()))
        return encode(replace(self._status, state=state, seq=self._seq, at=self._clock.now()))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            stalled = self._pulse() > self._stall_limit
            if stalled and self._state == "online" and not self._is_fenced:
                log.error(
                    "the event loop stalls worker=%s: its jobs are given away", self._status.id
                )
            self._say("lost" if stalled else "online")
