"""Asks every worker session which released rows it holds; parks the others again.

The question goes through the session's own topic, behind everything that waits in that session, so
the answer is exact. A session that is dealt jobs answers to a copy that comes behind them. Asked
after every connect, it recovers from a scheduler that died while it published and a broker that
lost its memory.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import zip_longest
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.wire.envelopes.dealt import encode_question
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.messages.census import BROKER_SESSION, CensusQuestion

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.release.publisher import Publisher
    from routeq_mqtt.scheduler.store.rows import Ended
    from routeq_mqtt.wire.messages.census import CensusAnswer

log: logging.Logger = logging.getLogger(__name__)


class Census:
    """One census at a time; a new one replaces the last.

    Args:
        context: what the roles share.
        publisher: keeps count of what the workers hold.
    """

    def __init__(self, context: Context, publisher: Publisher) -> None:
        self._context = context
        self._publisher = publisher
        self._number = ""
        self._asked: dict[str, tuple[int, int]] = {}
        self._sessions: set[str] = set()
        self._done: list[Ended] = []
        self._unmarked: set[str] = set()
        self._moved: set[str] = set()
        self._adopted: set[str] = set()
        self._turn = asyncio.Lock()
        self._incomplete_until = 0.0
        publisher.releasing = self._released

    @property
    def open(self) -> bool:
        """Whether answers are still missing."""
        return bool(self._asked)

    def expect_workers(self, seconds: float) -> None:
        """For this long some workers may not have reported yet: park no row without a holder.

        A broker that lost its memory has forgotten who was there; a scheduler that has just started
        learns it from the workers themselves, as they come back.
        """
        self._incomplete_until = self._context.clock.monotonic() + seconds

    async def ask(self) -> None:
        """Begin: every row that is released now, to every session that may hold it.

        Raises:
            StoreUnavailable: the rows cannot be read.
        """
        async with self._turn:
            self._asked, self._done = {}, []
            self._moved = set(self._publisher.publishing)
            self._unmarked = await self._context.store.unmarked()
            rows = await self._context.store.released()
            released = {job_id: (attempt, times) for job_id, attempt, times in rows}
            for job_id in self._moved:
                released.pop(job_id, None)
            self._number = new_id()  # an answer to a scheduler before us is none to us
            self._asked = released
            everybody = self._all_sessions()
            self._adopted &= everybody
            self._sessions = everybody - self._adopted
        await self.ask_again()

    async def ask_again(self) -> None:
        """Ask those who have not answered: a worker that has just come may not have heard."""
        if not self.open:
            return
        self._sessions &= self._all_sessions()  # a worker may have left politely meanwhile
        number, sessions = self._number, list(self._sessions)
        log.info("census of %d rows in %d sessions", len(self._asked), len(sessions))
        asked = {job: attempt for job, (attempt, _) in self._asked.items()}
        question = CensusQuestion(census=number, jobs=asked).encode()
        await self._context.publish_all(self._addressed(sessions, question))
        if number == self._number:
            await self._close_if_complete()

    def _addressed(self, sessions: list[str], question: bytes) -> list[tuple[str, bytes]]:
        """The question for each session: where jobs are dealt, behind them first."""
        copies = [(self._topic_of(session), question) for session in sessions]
        if not self._context.surroundings.deals:
            return copies
        dealt, deal = encode_question(question), self._context.topics.deal
        return [(deal(one), dealt) for one in sessions if one != BROKER_SESSION] + copies

    def _released(self, ids: set[str]) -> None:
        """Rows that go out now, to whomever, are no matter of a census that began before."""
        self._moved |= ids if self._turn.locked() else set()
        for job_id in ids:
            self._asked.pop(job_id, None)

    def _all_sessions(self) -> set[str]:
        """Of every worker that has not been adopted: the lost ones answer by their adoption.

        The embedded broker is asked, too: what waits in it is in no worker's session.
        """
        broker = {BROKER_SESSION} if self._context.surroundings.answers_census else set()
        statuses = [
            member.status
            for member in self._context.fleet.members.values()
            if member.status is not None and member.status.state != "adopted"
        ]
        statuses += self._context.sessions.unowned()
        return broker | {session for status in statuses for session in status.sessions}

    def _topic_of(self, session: str) -> str:
        topics = self._context.topics
        return topics.broker_census if session == BROKER_SESSION else topics.session(session)

    def _queue_of(self, session: str) -> str:
        for member in self._context.fleet.members.values():
            status = member.status
            if status is not None and session in status.sessions:
                return status.queues[status.sessions.index(session)]
        return ""

    async def answer(self, answer: CensusAnswer) -> None:
        """A session answers."""
        if answer.census != self._number:
            return
        told = self._told(answer.held, answer.held_rows)
        held = [job_id for job_id, _ in told if self._asked.pop(job_id, None)]
        self._publisher.heard_of(self._queue_of(answer.session), len(held))
        for job_id, proven in self._told(answer.done, answer.done_rows):
            asked = self._asked.pop(job_id, None)
            if asked is not None:
                self._done.append((job_id, asked[0], proven))
        await self._heard_of(answer.session)

    def _told(self, ids: list[str], rows: list[str | None]) -> list[tuple[str, bool]]:
        """Rows that a session speaks of; not what came past us under the id of one.

        A worker of an earlier version names no `row`, and a row that such a scheduler released has
        none.
        """
        speaks_for = self._context.speaks_for
        told = [(i, speaks_for(i, row)) for i, row in zip_longest(ids, rows[: len(ids)])]
        return [(i, proven) for i, proven in told if proven or i in self._unmarked]

    async def adopted(self, session: str) -> None:
        """Nothing more is to be learned of a session: what it held is here, and leaves room."""
        self._adopted.add(session)
        await self._publisher.count()
        self._context.parked.notify()
        await self._heard_of(session)

    async def _heard_of(self, session: str) -> None:
        self._sessions.discard(session)
        await self._close_if_complete()

    async def _close_if_complete(self) -> None:
        if self._sessions:
            return
        if not (self._asked or self._done):
            self._publisher.unheard.clear()  # each of them was found
            return
        if self._asked and self._context.clock.monotonic() < self._incomplete_until:
            return
        number = self._number
        if not await self._report_done(number):
            return
        # Only now: what was released while we waited for the disk is no longer among them.
        missing, self._asked = self._asked, {}
        self._publisher.unconfirmed.clear()
        self._publisher.unheard.clear()
        if missing:
            rows = ((job, *row) for job, row in missing.items())
            try:
                parked = await self._context.store.park_missing(rows)
            except StoreUnavailable:
                if number == self._number:
                    self._asked = missing
                raise
            if parked:
                log.warning("no session holds %d released rows; parked again", parked)
        await self._publisher.count()
        self._context.parked.notify()

    async def _report_done(self, number: str) -> bool:
        """Make tombstones of what was done; whether the census is still the same afterwards."""
        done, self._done = self._done, []
        if done:
            try:
                await self._context.store.done(done, self._context.clock.now())
            except StoreUnavailable:
                if number == self._number:
                    self._done = done
                raise
        return number == self._number
