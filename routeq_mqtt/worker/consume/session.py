"""One queue of one worker: its persistent MQTT session, from connect to disconnect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost, UnreadableMessage
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.transport.reconnecting import Link
from routeq_mqtt.wire.envelopes.dealt import decode_question, is_question
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.rows import row_key
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.marks import decode_mark, is_mark
from routeq_mqtt.wire.messages.census import CensusQuestion
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.worker.consume.barrier import Barrier
from routeq_mqtt.worker.consume.flow_control import Window
from routeq_mqtt.worker.consume.membership import Membership
from routeq_mqtt.worker.consume.unacked import UnackedDeliveries
from routeq_mqtt.worker.consume.without_id import Unnamed
from routeq_mqtt.worker.delivery import Delivery

if TYPE_CHECKING:
    from routeq_mqtt.bus.send.broker_info import BrokerInfo
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.transport.base import Connection, Message, Transport

log: logging.Logger = logging.getLogger(__name__)

SESSION_EXPIRY = 7 * 86_400
"""Seconds for which a worker's session outlives its connection: time enough to adopt it."""

_KEEP_ALIVE = 30
_LAST_MARK = 1.0
_FRESH = 60.0
"""Seconds after which a PUBACK has surely arrived, or its connection would have been given up."""
_BESIDE = 500
"""Messages beyond the window: control messages, and jobs on their way back."""

_SMALL = 4_096
"""Bytes of a message that is read ahead, at most: memory is bounded by their number."""

Ask = Callable[["QueueSession", CensusQuestion], None]


class Jobs(Protocol):
    """Where a session's jobs run."""

    @property
    def free(self) -> int:
        """Slots without a job."""
        ...

    @property
    def soon(self) -> int:
        """Jobs that may wait, since they are short."""
        ...

    def take_back(self, queue: str) -> list[Delivery]:
        """Take out what waits of a queue."""
        ...

    def add(self, held: Delivery) -> None:
        """Let a job wait for its turn."""
        ...

    def drop(self, held: Delivery) -> None:
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

    Attributes:
        holdings: what is not acknowledged yet, and what was lately.
        in_turn: see `Shares`.
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
        surroundings: BrokerInfo,
        gate: Callable[[], Awaitable[None]],
        answer: Ask,
        joined: Callable[[], None],
        give: Callable[[Delivery], None],
        repeat: Callable[[Delivery], None],
    ) -> None:
        self.queue = queue
        self.client_id = client_id
        self.holdings: UnackedDeliveries = UnackedDeliveries()
        self.in_turn = False
        self._topics = topics
        self._own_topic = topics.session(client_id)
        self._dealt_topic = topics.deal(client_id)
        self._jobs = jobs
        self._surroundings = surroundings
        self._answer = answer
        self._give = give
        self._repeat = repeat
        self._window = Window(topics.broker_window, window)
        self._marks = Barrier(topics.session(client_id))
        self._unnamed = Unnamed(self._marks.send)
        self._complaints = Complaints(log)
        self._read_until = 0
        self._connection: Connection | None = None
        self._subscribed: Connection | None = None
        self._acknowledged_at = float("-inf")
        self._joined = joined
        self.membership: Membership = Membership(
            lambda: surroundings.filters(queue, client_id), joined
        )
        self.link: Link = Link(
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
        if self._surroundings.shares_queue:
            await self._window.tell(connection)
        if not connection.session_present:
            self._decide(connection)
        # A broker restart forgets shared subscriptions, so also where the session is present.
        filters = self.membership.filters(is_new=not connection.session_present)
        await connection.subscribe(self._own_topic, *filters)
        await self.membership.drop_others(connection)
        self._subscribed = connection
        self._pause_when_full(connection)
        if self.holdings.unconfirmed or self.membership.away:
            self._marks.send(connection)
        if filters:
            self._joined()

    def _switch_to(self, connection: Connection) -> None:
        if connection is not self._connection:
            self._connection = connection
            self._marks.reconnected()
            if not connection.session_present:
                self._unnamed.only_from(None)
                self.holdings.session_is_new()
            self.holdings.reconnected()

    def _decide(self, connection: Connection) -> None:
        """What was not sent again: given to others, or forgotten by a broker that lost memory.

        The embedded broker gives a lost member's messages to others by itself. On other brokers
        only the scheduler's reaper does, and then our lease is gone and we are not here: what is
        missing there was forgotten, and we hold the only copy.
        """
        given_away = self._surroundings.shares_queue and connection.session_present
        for held in self.holdings.unconfirmed.values():
            if given_away:
                log.warning("job went to another worker id=%s queue=%s", held.job_id, self.queue)
                self.holdings.remove(held)
                self._jobs.drop(held)
            else:
                log.warning("the broker forgot a job id=%s queue=%s", held.job_id, self.queue)
        self.holdings.decided()
        self._pause_when_full(connection)

    # -- messages ------------------------------------------------------------------------------

    def _deliver(self, connection: Connection, message: Message) -> None:
        self._switch_to(connection)
        if not message.dup:
            self._unnamed.only_from(connection)
        if message.topic == self._own_topic or self._is_dealt_question(message):
            self._control(connection, message)
            return
        held = self._hold(connection, message)
        if message.dup:
            if self._is_known(held):
                return
        else:
            if self.holdings.unconfirmed:
                self._decide(connection)
            if self.holdings.is_copy(held) and not self._runs_again(held):
                return
        self.holdings.add(held)
        if self.membership.away and not self._jobs.free:
            self._give(held)
        else:
            self._jobs.add(held)
        if len(self.holdings.held) >= self._window.size:
            self._pause_when_full(connection, ahead=len(message.payload) <= _SMALL)

    def _pause_when_full(self, connection: Connection, *, ahead: bool = False) -> None:
        # What we are unsure of is decided by what we have yet to read. So is whether we are
        # subscribed: before that the link is not ready, and the jobs that would make room wait.
        window = self._window.size + _BESIDE * self.membership.away
        if ahead:
            window = max(window, self._jobs.soon)
        ready = self._subscribed is connection and not self.holdings.unconfirmed
        if ready and len(self.holdings.held) >= window:
            connection.pause()

    def _hold(self, connection: Connection, message: Message) -> Delivery:
        envelope: Envelope | None = None
        error: UnreadableMessage | None = None
        try:
            envelope = Envelope.decode(message.payload)
        except UnreadableMessage as unreadable:
            error = unreadable
        job_id = (envelope.id if envelope is not None else None) or new_id()
        if envelope is not None:
            job_id = row_key(envelope, job_id)
        return Delivery(self, self.queue, connection, message, envelope, error, job_id)

    def _is_known(self, held: Delivery) -> bool:
        """A message that came again: still here, or ended here."""
        if self.holdings.renew(held):
            return True
        if self.holdings.has_ended(held) or held.key in self._unnamed:
            self._acknowledge(held)
            return True
        return False

    def _runs_again(self, copy: Delivery) -> bool:
        """Whether a job that is or was here is to run once more; else its copy ends here."""
        if self.holdings.was_lost(copy):
            log.warning("the outcome of this job was lost; running it again id=%s", copy.job_id)
            self.holdings.forget_end(copy)
            return True
        log.info("a job was sent twice id=%s queue=%s", copy.job_id, self.queue)
        if self.holdings.was_done(copy):
            self._repeat(copy)  # whoever sent it again waits for its outcome again
        else:
            copy.connection.acknowledge(copy.message)
        return False

    def _control(self, connection: Connection, message: Message) -> None:
        connection.acknowledge(message)
        try:
            if is_mark(message.payload):
                is_of_this_connection = self._marks.came(decode_mark(message.payload))
                if is_of_this_connection and not message.retain and self.holdings.unconfirmed:
                    self._decide(connection)
            elif self._is_dealt_question(message):
                self._answer(self, decode_question(message.payload))
            elif self._dealt_topic not in self.membership.subscribed:
                self._answer(self, CensusQuestion.decode(message.payload))
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)

    def _is_dealt_question(self, message: Message) -> bool:
        """A question behind the jobs that were dealt: its copy on our own topic may overtake them.

        That one is for a session that is dealt nothing now.
        """
        return message.topic == self._dealt_topic and is_question(message.payload)

    def settle(self, held: Delivery) -> None:
        """Acknowledge; remember it, should the acknowledgement get lost."""
        if held.dropped:
            return
        self.holdings.end(held)
        window = self._window
        if self.in_turn and window.is_narrow:
            # Else the broker would fill the place at once, before an earlier queue is asked.
            window.allow(held.connection, max(0, window.allowed - 1))
        self._acknowledge(held)
        if self._connection is not None and len(self.holdings.held) <= window.size // 2:
            self._connection.resume()

    def _acknowledge(self, held: Delivery) -> None:
        held.connection.acknowledge(held.message)
        if held.unnamed and self.holdings.may_come_again(held):
            self._unnamed.acknowledged(held.key, held.connection)
        self._acknowledged_at = asyncio.get_running_loop().time()

    def owns(self, held: Delivery) -> bool:
        """Whether the broker is connected and has not given the message to somebody else."""
        connection = self._connection
        return (
            connection is not None
            and not connection.lost.done()
            and held.key not in self.holdings.unconfirmed
        )

    async def until_owned(self, held: Delivery) -> None:
        """Wait until the broker has said so; on the way `Jobs.drop` may cancel the job."""
        while not self.owns(held):
            await self.link.ready()
            if not self.owns(held):
                await self.holdings.news.wait()

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
            if self._marks.seen < self._read_until:
                return False  # more lies behind that would have to go back
            self.membership.change(connection, away=False)
        return True

    def _narrow(self, connection: Connection, free: int | None) -> None:
        """The embedded broker takes back what we name, and gives no more than we allow."""
        back = []
        for held in self._jobs.take_back(self.queue) if free == 0 else ():
            if held.connection is not connection or held.key in self.holdings.unconfirmed:
                self._jobs.add(held)  # the broker has yet to say whether it is ours
            else:
                back.append(held.message.packet_id.to_bytes(2, "big"))
                self.holdings.remove(held)
        window, running = self._window, len(self.holdings.held)
        window.allow(connection, window.size if free is None else min(window.size, running + free))
        if back:
            connection.publish(self._topics.broker_back, b"".join(back))

    async def settled(self) -> None:
        """Wait for the answer to the last window: it comes behind what the window let in."""
        await self._window.settled()

    def give_back(self) -> None:
        """What has not started goes back to the scheduler."""
        for held in self._jobs.take_back(self.queue):
            self._give(held)

    def _step_out(self, connection: Connection) -> None:
        """Out of the group; everything up to the mark goes back, what waits here first."""
        self.give_back()
        if not self.membership.away:
            self.membership.change(connection, away=True)
            self._marks.send(connection)
            self._read_until = self._marks.last
        connection.resume()

    # -- leaving -------------------------------------------------------------------------------

    def leave_group(self) -> None:
        """Get no new jobs: out of the group, so that the broker gives them to others."""
        self.membership.change(self._connection, closed=True)

    def join_group(self) -> None:
        """Get jobs again."""
        self.membership.change(self._connection, closed=False)

    def follow(self) -> None:
        """The scheduler has said something new: whether it deals may have changed."""
        self.membership.follow(self._connection)

    async def close(self, timeout: float) -> bool:
        """Disconnect; True if the session was empty and is ended, False if it is to be adopted.

        Args:
            timeout: seconds for the PUBACKs to arrive, if their connection has to come back first.
        """
        if asyncio.get_running_loop().time() - self._acknowledged_at < _FRESH:
            await self._until_acknowledged(timeout)
        connection = self.link.connection
        empty = connection is not None and await self._is_empty(connection)
        try:
            await self.link.close(end_session=empty)
        except ConnectionFailed as error:
            log.warning("session=%s is not ended, it is adopted: %s", self.client_id, error)
            empty = False
        await self.membership.forget()
        return empty

    async def _is_empty(self, connection: Connection) -> bool:
        """Whether nothing is left."""
        if self._surroundings.shares_queue:
            return True  # that broker takes back what we hold
        if self.holdings.held:
            return False
        connection.resume()
        # All is read that waits in the session when a mark has come behind it.
        return await self._marks.comes_back(connection, _LAST_MARK) and not self.holdings.held

    async def _until_acknowledged(self, timeout: float) -> None:
        """Our PUBACKs have arrived, as what is sent behind them has.

        A session that does not read because it is full does not see its connection end, either.
        What a dead connection took along comes again on the next one, and is acknowledged there.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    connection = await self.link.ready()
                    connection.resume()
                    with contextlib.suppress(ConnectionLost):
                        await self._marks.send(connection)
                        return
