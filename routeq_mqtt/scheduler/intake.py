"""Messages become rows, and are acknowledged after the commit: many messages, one commit."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.arrived import DEFAULT_QUEUE, add_job
from routeq_mqtt.scheduler.commit import Commit
from routeq_mqtt.scheduler.rows import StoreUnavailable
from routeq_mqtt.scheduler.sorter import Sorter
from routeq_mqtt.signal import Signal
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from routeq_mqtt.scheduler.admission import Admission
    from routeq_mqtt.scheduler.census import Census
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control import Control
    from routeq_mqtt.scheduler.publisher import Publisher
    from routeq_mqtt.scheduler.triggers import Triggers
    from routeq_mqtt.transport.seam import Connection, Message
    from routeq_mqtt.wire.envelope import Envelope

log = logging.getLogger(__name__)

_BATCH = 1_000
_HIGH, _LOW = 4_000, 1_000
_TRY_AGAIN = 1.0

_TAGGED = 5_000
"""Messages without an id that we remember the given id of; fewer than there are packet ids."""

Waiting = tuple["Connection", "Message"]


class Intake:
    """Takes in jobs, retries, outcomes and failed records.

    Args:
        context: what the roles share.
        publisher: keeps count of what the workers hold.
        admission: decides on jobs that claim something.
        control: learns which orders the workers have obeyed.
        census: gets the sessions' answers, behind the retries and outcomes that they know of.
        triggers: which other messages become jobs.
    """

    def __init__(
        self,
        context: Context,
        publisher: Publisher,
        admission: Admission,
        control: Control,
        census: Census,
        triggers: Triggers,
    ) -> None:
        self._context = context
        self._admission = admission
        self._control = control
        self._census = census
        self._sorter = Sorter(context, publisher, triggers)
        self._publisher = publisher
        self._waiting: deque[Waiting] = deque()
        self._arrived = Signal()
        self._taken = self._safe = 0
        self._moved = Signal()
        self._tagged: deque[int] = deque()

    def add(self, connection: Connection, message: Message) -> None:
        """Queue a message for the next commit; stops reading when too many wait."""
        self._waiting.append((connection, message))
        self._taken += 1
        self._arrived.fire()
        if len(self._waiting) >= _HIGH:
            connection.pause()

    def behind(self) -> Callable[[], Awaitable[None]]:
        """What to await until all that has arrived by now is committed."""
        wanted = self._taken

        async def committed() -> None:
            while self._safe < wanted:
                await self._moved.wait()

        return committed

    async def run(self) -> None:
        """Commit what has arrived, again and again."""
        while True:
            if not self._waiting:
                await self._arrived.wait()
            await self.commit()

    async def commit(self) -> None:
        """One pass: what has arrived into the store, then their acknowledgements."""
        taken = list(itertools.islice(self._waiting, _BATCH))
        commit = await self._stored(taken)
        self._context.hook("after commit")
        for connection, message in taken:
            connection.acknowledge(message)
        for _ in taken:
            connection, _ = self._waiting.popleft()
        self._safe += len(taken)
        self._moved.fire()
        if len(self._waiting) <= _LOW:
            connection.resume()
        await self._tell(commit)

    async def take(self, envelope: Envelope) -> None:
        """Take in a job of the scheduler's own; one whose id is known already changes nothing.

        Raises:
            StoreUnavailable: try again.
        """
        commit = Commit()
        job_id = envelope.id or new_id()
        queue = envelope.queue or DEFAULT_QUEUE
        add_job(commit, envelope, job_id, queue, self._context.clock, durable=True)
        await self._store_once(commit)
        await self._publisher.count()
        await self._tell(commit)

    async def _stored(self, taken: Sequence[Waiting]) -> Commit:
        """Store messages; while the disk is full or read-only, they wait at the broker."""
        while True:
            try:
                commit = Commit()
                for _, message in taken:
                    await self._sorter.sort(message, commit)
                self._context.hook("before commit")
                await self._store_once(commit)
                await self._publisher.count()
            except StoreUnavailable as error:
                log.error(
                    "cannot commit, jobs wait at the broker waiting=%d error=%s",
                    len(self._waiting),
                    error,
                )
                await self._arrived.wait(_TRY_AGAIN)
            else:
                return commit

    async def _store_once(self, commit: Commit) -> None:
        """Rows before outcomes: a job and its outcome may come in one commit.

        Outcomes before jobs that claim something: what has ended makes room for the next one.
        """
        store, now = self._context.store, self._context.clock.now()
        if commit.rows:
            await store.take(
                commit.rows,
                untagged=commit.untagged,
                forget_untagged=self._forgettable(commit),
                moved=self._context.clock.moved,
            )
        if commit.back:
            await store.restore(commit.back)
        if commit.failed:
            await store.fail(commit.failed, now)
        if commit.done:
            await store.done(commit.done, now)
        if commit.results:
            await self._context.results.keep(commit.results)
        if commit.cancelled:
            await self._control.obeyed(commit.cancelled)
        if commit.started:
            await self._admission.started(commit.started)
        if commit.special or commit.batches:
            commit.admitted = await self._admission.take(
                commit.special, now, batches=commit.batches, moved=self._context.clock.moved
            )
            self._context.hook("admitted")
        for answer in commit.answers:
            await self._census.answer(answer)

    def _forgettable(self, commit: Commit) -> list[int]:
        """Packet ids that the broker may soon use again: their old owners are long acknowledged."""
        self._tagged.extend(packet_id for packet_id, _, _ in commit.untagged)
        old = [self._tagged.popleft() for _ in range(len(self._tagged) - _TAGGED)]
        recent = set(self._tagged)
        return [packet_id for packet_id in old if packet_id not in recent]

    async def _tell(self, commit: Commit) -> None:
        self._context.results.ended(commit.ended())
        for request in commit.replies:
            ids = [commit.admitted.get(job_id, job_id) for job_id in request["taken"]]
            self._context.reply(request, result=ids)
        if commit.is_later():
            self._context.delayed.fire()
        if commit.may_expire():
            self._context.expiring = True
        self._context.parked.fire()
        if commit.failed or commit.cancelled:
            await self._context.results.look()  # a chain, or an aborted rollout, went with them
