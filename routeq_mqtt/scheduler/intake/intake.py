"""Messages become rows, and are acknowledged after the commit: many messages, one commit."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING

from routeq_mqtt.errors import StaleDatabase
from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.intake.commit import Commit
from routeq_mqtt.scheduler.intake.message_reader import MessageReader
from routeq_mqtt.scheduler.intake.new_rows import DEFAULT_QUEUE, add_job
from routeq_mqtt.scheduler.intake.salvage import Salvage
from routeq_mqtt.scheduler.store.identity import Identity
from routeq_mqtt.scheduler.store.rows import NONE_GIVEN, StoreUnavailable
from routeq_mqtt.scheduler.store.schema.identity import OWN
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control.orders import Control
    from routeq_mqtt.scheduler.features.admission import Admission
    from routeq_mqtt.scheduler.features.triggers import Triggers
    from routeq_mqtt.scheduler.intake.trouble import Trouble
    from routeq_mqtt.scheduler.recovery.census import Census
    from routeq_mqtt.scheduler.release.publisher import Publisher
    from routeq_mqtt.scheduler.store.given_ids import GivenIds
    from routeq_mqtt.scheduler.store.retained import Retained
    from routeq_mqtt.transport.base import Connection
    from routeq_mqtt.wire.envelopes.envelope import Envelope

_BATCH = 1_000
_HIGH, _LOW = 4_000, 1_000
_TRY_AGAIN = 1.0

_ALL_AGAIN = Message("", b"", qos=0)
"""Stands in the line of messages behind all that the broker delivered again."""

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
        trouble: learns when nothing can be committed.
        given: ids of messages that come without one.
        retained: which retained messages were taken in before.
    """

    def __init__(
        self,
        context: Context,
        publisher: Publisher,
        admission: Admission,
        control: Control,
        census: Census,
        triggers: Triggers,
        trouble: Trouble,
        given: GivenIds,
        retained: Retained,
    ) -> None:
        self._context = context
        self._admission = admission
        self._control = control
        self._census = census
        self._trouble = trouble
        self._sorter = MessageReader(context, publisher, triggers, given, retained)
        self._retained = retained
        self._publisher = publisher
        self._waiting: deque[Waiting] = deque()
        self._arrived = Notifier()
        self._taken = self._safe = 0
        self._moved = Notifier()
        self._given = given
        self._salvage = Salvage(self._store_once, context.clock.now)

    def add(self, connection: Connection, message: Message) -> None:
        """Queue a message for the next commit; stops reading when too many wait."""
        self._waiting.append((connection, message))
        self._taken += 1
        self._arrived.notify()
        if len(self._waiting) >= _HIGH:
            connection.pause()

    async def begin(self, connection: Connection) -> None:
        """A connection is new, and not yet subscribed.

        A new session gets nothing before it is on disk that what an earlier one was given is over.
        """
        if connection.session_present:
            return
        await self.behind()()
        while self._given.any:
            try:
                await self._given.forget()
            except StoreUnavailable as error:
                await self._refused(error)

    def all_again(self, connection: Connection) -> None:
        """What the broker delivers again on this connection has arrived."""
        self.add(connection, _ALL_AGAIN)

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
            try:
                await self.commit()
            except StaleDatabase:  # another scheduler has what arrived: it is not acknowledged
                raise
            except Exception as error:  # noqa: BLE001 - what arrived waits, and is tried again
                self._salvage.note("pass of the intake", error)
                await asyncio.sleep(_TRY_AGAIN)

    async def commit(self) -> None:
        """One pass: what has arrived into the store, then their acknowledgements."""
        taken = list(itertools.islice(self._waiting, _BATCH))
        commit = await self._stored(taken)
        self._context.hook("after commit")
        for connection, message in taken:
            connection.acknowledge(message)
        self._given.acknowledged()
        for _ in taken:
            connection, _ = self._waiting.popleft()
        self._safe += len(taken)
        self._moved.notify()
        if len(self._waiting) <= _LOW:
            connection.resume()
        try:
            await self._tell(commit)
        except Exception as error:  # noqa: BLE001 - all is stored; who asked asks again
            self._salvage.note("reply", error)

    async def take(self, envelope: Envelope) -> None:
        """Take in a job of the scheduler's own; one whose id is known already changes nothing.

        Raises:
            StoreUnavailable: try again.
        """
        commit = Commit()
        job_id = envelope.id or new_id()
        queue = envelope.queue or DEFAULT_QUEUE
        identity = Identity(job_id, proven=False, origin=OWN)
        clock, tokens = self._context.clock, self._context.tokens
        add_job(commit, envelope, job_id, queue, clock, tokens, durable=True, identity=identity)
        await self._store_once(commit)
        await self._publisher.count()
        await self._tell(commit)

    async def _stored(self, taken: Sequence[Waiting]) -> Commit:
        """Store messages; while the disk is full or read-only, they wait at the broker."""
        commit = await self._read(taken)
        while True:
            try:
                self._context.hook("before commit")
                await self._store_each(commit)
                await self._publisher.count()
            except StoreUnavailable as error:
                self._trouble.refused(error, len(self._waiting))
                await asyncio.sleep(_TRY_AGAIN)  # whatever arrives meanwhile
            else:
                self._trouble.over()
                self._given.written(commit.given)
                return commit

    async def _read(self, taken: Sequence[Waiting]) -> Commit:
        """Once, however often the commit is tried: what it gives stays given."""
        commit = Commit()
        for connection, message in taken:
            if message is _ALL_AGAIN:
                self._given.reads(connection, message)
                self._given.nothing_again()
            else:
                await self._read_one(connection, message, commit)
        commit.given = self._given.to_write()
        return commit

    async def _read_one(self, connection: Connection, message: Message, commit: Commit) -> None:
        while True:
            try:
                return await self._sorter.sort(connection, message, commit)
            except StoreUnavailable as error:
                await self._refused(error)
            except StaleDatabase:
                raise
            except Exception as error:  # noqa: BLE001 - kept, with its bytes, as an unreadable one
                self._salvage.note("message", error)
                return self._sorter.refuse(message, error, commit)

    async def _refused(self, error: StoreUnavailable) -> None:
        """The disk takes nothing: messages wait at the broker, whatever arrives meanwhile."""
        self._trouble.refused(error, len(self._waiting))
        await asyncio.sleep(_TRY_AGAIN)

    async def _store_each(self, commit: Commit) -> None:
        """All at once; where that ends in an error of our own, piece by piece."""
        try:
            await self._store_once(commit)
        except (StoreUnavailable, StaleDatabase):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await self._salvage.run(commit, error)

    async def _store_once(self, commit: Commit) -> None:
        """Rows before outcomes: a job and its outcome may come in one commit.

        Outcomes before jobs that claim something: what has ended makes room for the next one.
        """
        store, now = self._context.store, self._context.clock.now()
        if commit.rows or commit.given is not NONE_GIVEN:
            await store.take(
                commit.rows,
                given=commit.given,
                moved=self._context.clock.moved,
                renamed=commit.admitted,
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
            commit.admitted |= await self._admission.take(
                commit.special, now, batches=commit.batches, moved=self._context.clock.moved
            )
            self._context.hook("admitted")
        # Behind the rows: dead in between, we get them again, and find their rows.
        await self._retained.keep(commit.retained)
        for answer in commit.answers:
            await self._census.answer(answer)

    async def _tell(self, commit: Commit) -> None:
        await self._control.over(commit.ended())
        self._context.results.ended(commit.ended())
        for reply, taken in commit.replies:
            ids = [commit.admitted.get(job_id, job_id) for job_id in taken]
            self._context.reply(reply, result=ids)
        if commit.is_later():
            self._context.delayed.notify()
        if commit.may_expire():
            self._context.expiring = True
        self._context.parked.notify()
        if commit.failed or commit.cancelled:
            await self._context.results.look()  # a chain, or an aborted rollout, went with them
