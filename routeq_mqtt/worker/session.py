"""One queue of one worker: its persistent MQTT session, what it holds, and who that belongs to.

A connection that comes back resumes the session, and the broker sends again what is not
acknowledged. What still runs or waits here only gets its new message to acknowledge; what has
ended here is acknowledged again; what the broker does not send again is somebody else's now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.errors import ConnectionLost, UnreadableMessage
from routeq_mqtt.signal import Signal
from routeq_mqtt.transport.link import Link
from routeq_mqtt.transport.seam import ConnectOptions
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.worker.held import Held, Key
from routeq_mqtt.worker.membership import Membership

if TYPE_CHECKING:
    from routeq_mqtt.bus.surroundings import Surroundings
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.seam import Connection, Message, Transport

log = logging.getLogger(__name__)

SESSION_EXPIRY = 7 * 86_400
"""Seconds for which a worker's session outlives its connection: time enough to adopt it."""

_REMEMBERED = 10_000
_KEEP_ALIVE = 30
_LAST_MARK = 1.0
_FRESH = 60.0
"""Seconds after which a PUBACK has surely arrived, or its connection would have been given up."""
_BESIDE = 500
"""Messages beyond the window: control messages, and jobs on their way back."""

Ask = Callable[["QueueSession", bytes], None]


class Jobs(Protocol):
    """Where a session's jobs run."""

    @property
    def free(self) -> int:
        """Slots without a job."""
        ...

    def take_back(self, queue: str) -> list[Held]:
        """Take out what waits of a queue."""
        ...

    def add(self, held: Held) -> None:
        """Let a job wait for its turn."""
        ...

    def drop(self, held: Held) -> None:
        """The job is no longer ours."""
        ...


class QueueSession:
    """The session of one queue.

    Args:
        transport, topics: the bus.
        queue: its name.
        client_id: of this session; new for each start of the process.
        window: messages held at most before reading stops.
        jobs: where they run.
        surroundings: whether the broker is the embedded one.
        gate: awaited before each connect: the worker's lease must be sound.
        answer: takes the scheduler's questions that come through the session's own topic.
        joined: called each time the session has joined its group.
        give: takes what goes back to the scheduler, unstarted.
        repeat: tells once more that a job was done here, then settles the message.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        queue: str,
        client_id: str,
        *,
        window: int,
        jobs: Jobs,
        surroundings: Surroundings,
        gate: Callable[[], Awaitable[None]],
        answer: Ask,
        joined: Callable[[], None],
        give: Callable[[Held], None],
        repeat: Callable[[Held], None],
    ) -> None:
        self.queue = queue
        self.client_id = client_id
        self.held: dict[Key, Held] = {}
        self._topics = topics
        self._window = window
        self._jobs = jobs
        self._surroundings = surroundings
        self._answer = answer
        self._give = give
        self._repeat = repeat
        self.in_turn = False
        self._allowed = window
        self._told: asyncio.Future[int] | None = None
        self._read_until = 0
        self._seen = 0
        self._connection: Connection | None = None
        self._subscribed: Connection | None = None
        self._acknowledged_at = float("-inf")
        self._unsure: dict[Key, Held] = {}
        self._ended: OrderedDict[Key, bool] = OrderedDict()
        self._marks = 0
        self._mark_seen: Callable[[int], None] = lambda number: None
        self._news = Signal()
        self._joined = joined
        self.membership = Membership(topics.shared(queue), joined)
        self.link = Link(
            transport,
            ConnectOptions(
                client_id,
                persistent=True,
                session_expiry=SESSION_EXPIRY,
                keep_alive=_KEEP_ALIVE,
                # More than we hold: questions, and jobs to give back, come behind what runs.
                receive_maximum=window + _BESIDE,
            ),
            self._deliver,
            set_up=self._set_up,
            gate=gate,
        )

    # -- connecting ----------------------------------------------------------------------------

    async def _set_up(self, connection: Connection) -> None:
        self._switch_to(connection)
        own = self._topics.session(self.client_id)
        if self._surroundings.shares_queue:
            await connection.publish(self._topics.broker_window, str(self._allowed).encode())
        if not connection.session_present:
            self._decide(connection)
        # A broker restart forgets shared subscriptions, so also where the session is present.
        await connection.subscribe(own, *self.membership.filters())
        self._subscribed = connection
        self._pause_when_full(connection)
        if self._unsure or self.membership.away:
            connection.publish(own, self._mark())
        if self.membership.filters():
            self._joined()

    def _switch_to(self, connection: Connection) -> None:
        if connection is not self._connection:
            self._connection = connection
            self._unsure.update(self.held)

    def _decide(self, connection: Connection) -> None:
        """What was not sent again: given to others, or forgotten by a broker that lost memory.

        The embedded broker gives a lost member's messages to others by itself. On other brokers
        only the scheduler's reaper does, and then our lease is gone and we are not here: what is
        missing there was forgotten, and we hold the only copy.
        """
        given_away = self._surroundings.shares_queue and connection.session_present
        for held in self._unsure.values():
            if given_away:
                log.warning("job went to another worker id=%s queue=%s", held.job_id, self.queue)
                self.held.pop(held.key, None)
                self._jobs.drop(held)
            else:
                log.warning("the broker forgot a job id=%s queue=%s", held.job_id, self.queue)
        self._unsure.clear()
        self._news.fire()
        self._pause_when_full(connection)

    # -- messages ------------------------------------------------------------------------------

    def _deliver(self, connection: Connection, message: Message) -> None:
        self._switch_to(connection)
        if message.topic == self._topics.session(self.client_id):
            self._control(connection, message)
            return
        held = self._hold(connection, message)
        if message.dup:
            if self._known(held):
                return
        else:
            if self._unsure:
                self._decide(connection)
            if self._is_copy(held):
                if not self._was_lost(held):
                    log.info("a job was sent twice id=%s queue=%s", held.job_id, self.queue)
                    if self._ended.get(held.key):
                        self._repeat(held)  # whoever sent it again waits for its outcome again
                    else:
                        connection.acknowledge(message)
                    return
                log.warning("what became of a job was lost, it runs again id=%s", held.job_id)
                del self._ended[held.key]
        if held.key in self.held:
            held.key = (*held.key, object())  # without an id, and alike to the byte
        self.held[held.key] = held
        if self.membership.away and not self._jobs.free:
            self._give(held)
        else:
            self._jobs.add(held)
        self._pause_when_full(connection)

    def _pause_when_full(self, connection: Connection) -> None:
        # What we are unsure of is decided by what we have yet to read. So is whether we are
        # subscribed: before that the link is not ready, and the jobs that would make room wait.
        window = self._window + _BESIDE * self.membership.away
        ready = self._subscribed is connection and not self._unsure
        if ready and len(self.held) >= window:
            connection.pause()

    def _hold(self, connection: Connection, message: Message) -> Held:
        envelope: Envelope | None = None
        error: UnreadableMessage | None = None
        try:
            envelope = Envelope.decode(message.payload)
        except UnreadableMessage as unreadable:
            error = unreadable
        job_id = (envelope.id if envelope is not None else None) or new_id()
        return Held(self, self.queue, connection, message, envelope, error, job_id)

    def _known(self, held: Held) -> bool:
        """A message that came again: still here, or ended here."""
        before = self._unsure.pop(held.key, None)
        if before is not None:
            before.connection, before.message = held.connection, held.message
            self._news.fire()
            return True
        if held.key in self._ended:
            self._acknowledge(held)
            return True
        return False

    def _is_copy(self, held: Held) -> bool:
        """A new message of a job that is or was here: its sender lost the PUBACK and sent again."""
        if held.envelope is None or held.envelope.id is None:
            return False
        return held.key in self._ended or held.key in self.held

    def _was_lost(self, held: Held) -> bool:
        """Of a copy: whether a retry or failed record of ours never came to the scheduler.

        It sends a row again when a census has found it nowhere, and an answer to that comes behind
        all that was handed over: only a broker that lost its memory can have lost that.
        """
        envelope = held.envelope
        stored = envelope is not None and envelope.stored
        return stored and self._ended.get(held.key) is False and held.key not in self.held

    def _control(self, connection: Connection, message: Message) -> None:
        connection.acknowledge(message)
        if message.payload.startswith(b"mark:"):
            if not message.retain and self._unsure:
                self._decide(connection)
            self._seen = max(self._seen, int(message.payload[5:]))
            self._mark_seen(self._seen)
        else:
            self._answer(self, message.payload)

    def _mark(self) -> bytes:
        self._marks += 1
        return b"mark:%d" % self._marks

    def settle(self, held: Held) -> None:
        """Acknowledge; remember it, should the acknowledgement get lost."""
        if held.dropped:
            return
        self.held.pop(held.key, None)
        self._unsure.pop(held.key, None)
        self._ended[held.key] = held.done
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        if self.in_turn and self._allowed < self._window:
            # Else the broker would fill the place at once, before an earlier queue is asked.
            self._allow(held.connection, max(0, self._allowed - 1))
        self._acknowledge(held)
        if self._connection is not None and len(self.held) <= self._window // 2:
            self._connection.resume()

    def _acknowledge(self, held: Held) -> None:
        held.connection.acknowledge(held.message)
        self._acknowledged_at = asyncio.get_running_loop().time()

    def owns(self, held: Held) -> bool:
        """Whether the broker is connected and has not given the message to somebody else."""
        connection = self._connection
        return (
            connection is not None and not connection.lost.done() and held.key not in self._unsure
        )

    async def until_owned(self, held: Held) -> None:
        """Wait until the broker has said so; on the way `Jobs.drop` may cancel the job."""
        while not self.owns(held):
            await self.link.ready()
            if not self.owns(held):
                await self._news.wait()

    def done_lately(self) -> dict[str, int]:
        """Jobs that were done here lately, each with its latest attempt."""
        attempts: dict[str, int] = {}
        for key, done in self._ended.items():
            if done and len(key) == 3:
                job_id, attempt = str(key[0]), int(str(key[1]))
                attempts[job_id] = max(attempt, attempts.get(job_id, 0))
        return attempts

    # -- sharing (see `Shares`) ----------------------------------------------------------------

    def limit(self, free: int | None) -> bool:
        """Take `free` jobs more than run here at most; give back what waits beyond that."""
        connection = self._connection
        if connection is None or connection.lost.done():
            return False
        if self._surroundings.shares_queue:
            self._narrow(connection, free)
        elif free == 0:
            self._step_out(connection)
        elif self.membership.away:
            if self._seen < self._read_until:
                return False  # more lies behind that would have to go back
            self.membership.change(connection, away=False)
        return True

    def _narrow(self, connection: Connection, free: int | None) -> None:
        """The embedded broker takes back what we name, and gives no more than we allow."""
        back = []
        for held in self._jobs.take_back(self.queue) if free == 0 else ():
            if held.connection is not connection or held.key in self._unsure:
                self._jobs.add(held)  # the broker has yet to say whether it is ours
            else:
                back.append(held.message.packet_id.to_bytes(2, "big"))
                del self.held[held.key]
        allowed = self._window if free is None else min(self._window, len(self.held) + free)
        self._allow(connection, allowed)
        if back:
            connection.publish(self._topics.broker_back, b"".join(back))

    def _allow(self, connection: Connection, allowed: int) -> None:
        if allowed != self._allowed:
            self._allowed = allowed
            self._told = connection.publish(self._topics.broker_window, str(allowed).encode())

    async def settled(self) -> None:
        """Wait for the answer to the last window: it comes behind what the window let in."""
        if self._told is not None:
            await asyncio.wait({self._told})

    def _step_out(self, connection: Connection) -> None:
        """Out of the group; everything up to the mark goes back, what waits here first."""
        for held in self._jobs.take_back(self.queue):
            self._give(held)
        if not self.membership.away:
            self.membership.change(connection, away=True)
            connection.publish(self._topics.session(self.client_id), self._mark())
            self._read_until = self._marks
        connection.resume()

    # -- leaving -------------------------------------------------------------------------------

    def leave_group(self) -> None:
        """Get no new jobs: out of the group, so that the broker gives them to others."""
        self.membership.change(self._connection, closed=True)

    def join_group(self) -> None:
        """Get jobs again."""
        self.membership.change(self._connection, closed=False)

    async def close(self, timeout: float) -> bool:
        """Disconnect; True if the session was empty and is ended, False if it is to be adopted.

        Args:
            timeout: seconds for the PUBACKs to arrive, if their connection has to come back first.
        """
        if asyncio.get_running_loop().time() - self._acknowledged_at < _FRESH:
            await self._until_acknowledged(timeout)
        connection = self.link.connection
        empty = connection is not None and await self._is_empty(connection)
        await self.link.close(end_session=empty)
        await self.membership.forget()
        return empty

    async def _is_empty(self, connection: Connection) -> bool:
        """Whether nothing is left."""
        if self._surroundings.shares_queue:
            return True  # that broker takes back what we hold
        return not self.held and await self._mark_comes_back(connection) and not self.held

    async def _until_acknowledged(self, timeout: float) -> None:
        """Our PUBACKs have arrived, as what is sent behind them has.

        Whoever does not read because it is full does not see its connection end, either. What a
        dead connection took along comes again on the next one, and is acknowledged there.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    connection = await self.link.ready()
                    connection.resume()
                    with contextlib.suppress(ConnectionLost):
                        await connection.publish(self._topics.session(self.client_id), self._mark())
                        return

    async def _mark_comes_back(self, connection: Connection) -> bool:
        """Whether all is read that waits in the session: a marker comes behind it."""
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mark = self._mark()
        wanted = self._marks

        def see(number: int) -> None:
            if number >= wanted and not seen.done():
                seen.set_result(None)

        self._mark_seen = see
        connection.resume()
        connection.publish(self._topics.session(self.client_id), mark)
        await asyncio.wait({seen}, timeout=_LAST_MARK)
        return seen.done()
