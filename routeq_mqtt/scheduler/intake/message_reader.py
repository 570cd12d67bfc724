"""Reads messages, and says what of them is to be stored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import RefusedJob, UnreadableMessage
from routeq_mqtt.scheduler.features.uniqueness import batch_of
from routeq_mqtt.scheduler.intake.new_rows import DEFAULT_QUEUE, add_job, arrived_row
from routeq_mqtt.scheduler.intake.signatures import may_replace
from routeq_mqtt.scheduler.store.failed_records import new_failed, unreadable
from routeq_mqtt.scheduler.store.identity import Identity, from_worker
from routeq_mqtt.scheduler.store.incoming import returned_row
from routeq_mqtt.topics import DOCTOR
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.envelopes.result import JobResult
from routeq_mqtt.wire.messages.census import CensusAnswer
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.messages.durable import DurableDispatch
from routeq_mqtt.wire.messages.given_back import decode_given_back
from routeq_mqtt.wire.messages.outcomes import decode_outcomes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.features.triggers import Triggers
    from routeq_mqtt.scheduler.intake.commit import Commit
    from routeq_mqtt.scheduler.release.publisher import Publisher
    from routeq_mqtt.scheduler.store.given_ids import GivenIds
    from routeq_mqtt.scheduler.store.retained import Retained
    from routeq_mqtt.transport.base import Connection, Message

log: logging.Logger = logging.getLogger(__name__)


class MessageReader:
    """One way to read for each topic; what comes to any other is a job.

    Args:
        context: what the roles share.
        publisher: counts what workers give back.
        triggers: which messages of devices become jobs.
        given: ids of messages that have none.
        retained: which retained messages were taken in before.
    """

    def __init__(
        self,
        context: Context,
        publisher: Publisher,
        triggers: Triggers,
        given: GivenIds,
        retained: Retained,
    ) -> None:
        self._context = context
        self._publisher = publisher
        self._triggers = triggers
        self._given = given
        self._retained = retained
        self._complaints = Complaints(log)
        topics = context.topics
        self._exact: dict[str, Callable[[Message, Commit], Awaitable[None]]] = {
            topics.schedule: self._take_job,
            topics.retry: self._take_retry,
            topics.failed: self._take_failed,
            topics.rpc("census"): self._take_answer,
            topics.done: self._take_done,
            topics.result: self._take_result,
            topics.back: self._take_back,
        }

    async def sort(self, connection: Connection, message: Message, commit: Commit) -> None:
        """Read a message into a commit; an unreadable one becomes a failed record.

        Raises:
            StoreUnavailable: nothing of it is in the commit; try again.
        """
        self._given.reads(connection, message)
        if message.payload == DOCTOR or self._context.is_bridged(message.topic):
            return
        if message.retain and not self._context.topics.is_foreign(message.topic):
            if self._retained.is_known(message):
                return
            commit.retained.append(message)
        handler = self._exact.get(message.topic, self._take_job)
        if message.topic.startswith(self._context.topics.store("")):
            handler = self._take_durable
        elif self._context.topics.is_foreign(message.topic):
            handler = self._take_reading
        try:
            await handler(message, commit)
        except UnreadableMessage as error:
            self._keep(message.topic, message.payload, self._record_id(message), error, commit)

    def refuse(self, message: Message, error: Exception, commit: Commit) -> None:
        """Keep a message that could not be handled, for an unexpected reason."""
        self._keep(message.topic, message.payload, self._record_id(message), error, commit)

    async def _take_job(self, message: Message, commit: Commit) -> None:
        """From a producer: adds a job, and changes none."""
        envelope, queue = self._read(message)
        if envelope.id is None:
            job_id = self._given.id_of(message)
        elif envelope.row is not None and self._context.fleet.has_earlier_version():
            await self._take_retry(message, commit)  # those have no topic of their own
            return
        else:
            job_id = envelope.id
        if envelope.options and message.topic != self._context.topics.schedule:
            envelope = _of_its_queue(envelope)
        clock, tokens = self._context.clock, self._context.tokens
        payload = message.payload
        add_job(commit, envelope, job_id, queue, clock, tokens, durable=False, payload=payload)

    def _read(self, message: Message) -> tuple[Envelope, str]:
        envelope = Envelope.decode(message.payload)
        return envelope, self._queue_of(message, envelope.queue)

    async def _take_retry(self, message: Message, commit: Commit) -> None:
        """From a worker: the next attempt of what it was given, or what it may not decide on."""
        context = self._context
        envelope, queue = self._read(message)
        if envelope.id is None:
            raise UnreadableMessage("a job that a worker passes on has an id")
        clock, tokens = context.clock, context.tokens
        identity = from_worker(tokens, envelope, envelope.id, queue)
        if identity.proven and not await may_replace(context, identity.key, envelope):
            refused = RefusedJob("signature: it does not fit; the job was changed on its way back")
            self._keep(message.topic, message.payload, self._record_id(message), refused, commit)
            return
        job_id = envelope.id
        add_job(commit, envelope, job_id, queue, clock, tokens, durable=False, identity=identity)

    def _queue_of(self, message: Message, else_queue: str | None = None) -> str:
        """The queue that a topic names, or another.

        Raises:
            UnreadableMessage: no queue can be called like that.
        """
        queue = self._context.topics.queue_of(message.topic) or else_queue or DEFAULT_QUEUE
        return str(_check_queue(queue))

    async def _take_reading(self, message: Message, commit: Commit) -> None:
        """A device's message, one job for each trigger. What is retained is old, and no event."""
        triggers = [] if message.retain else self._triggers.matching(message.topic)
        if not triggers:
            return
        first = self._given.id_of(message)
        guard, clock = self._context.guard, self._context.clock
        now = clock.now()
        for number, one in enumerate(triggers):
            job_id = f"{first}-{number}" if number else first
            envelope = Envelope(
                id=job_id,
                job=one.job,
                data=one.data(message.topic, message.payload),
                dispatched_at=now,
            )
            if guard.dresses:
                envelope = guard.dress(envelope, clock.wall())
            identity = Identity(job_id, proven=False, origin=None)
            tokens = self._context.tokens
            row = arrived_row(envelope, identity, one.queue, clock, tokens, durable=False)
            commit.rows.append(row)

    async def _take_durable(self, message: Message, commit: Commit) -> None:
        request = DurableDispatch.decode(message.payload)
        queue = self._queue_of(message)
        taken = []
        for number, payload in enumerate(request.envelopes):
            try:
                envelope = Envelope.decode(payload)
            except UnreadableMessage as error:
                # Kept as failed, and so taken: the others in this message are not to blame.
                record_id = f"{self._given.id_of(message)}-{number}"
                taken.append(self._keep(message.topic, payload, record_id, error, commit))
                continue
            job_id = envelope.id or f"{self._given.id_of(message)}-{number}"
            clock, tokens = self._context.clock, self._context.tokens
            where = envelope.queue or queue
            add_job(commit, envelope, job_id, where, clock, tokens, durable=True, payload=payload)
            taken.append(job_id)
        if request.batch is not None:
            commit.batches.append(batch_of(request.batch))
        commit.replies.append((request.reply, taken))

    async def _take_done(self, message: Message, commit: Commit) -> None:
        speaks_for = self._context.speaks_for
        lists = {"done": commit.done, "cancelled": commit.cancelled, "started": commit.started}
        for key, attempt, word, row in decode_outcomes(message.payload):
            lists[word].append((key, attempt, speaks_for(key, row)))

    async def _take_answer(self, message: Message, commit: Commit) -> None:
        try:
            commit.answers.append(CensusAnswer.decode(message.payload))
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)

    async def _take_result(self, message: Message, commit: Commit) -> None:
        result = JobResult.decode(message.payload)
        commit.results.append((result, self._context.speaks_for(result.id, result.row)))

    async def _take_back(self, message: Message, commit: Commit) -> None:
        """What a worker gives back, unstarted: as if its session had been adopted."""
        now = self._context.clock.now()
        stored = []
        for number, (queue, payload) in enumerate(decode_given_back(message.payload)):
            try:
                envelope = Envelope.decode(payload)
                if envelope.id is None:
                    raise UnreadableMessage("a job that is given back has an id")
            except UnreadableMessage as error:
                record_id = f"{self._given.id_of(message)}-{number}"
                self._keep(self._context.topics.intake(queue), payload, record_id, error, commit)
                continue
            tokens = self._context.tokens
            commit.back.append(returned_row(envelope, envelope.id, queue, tokens, now=now))
            if envelope.stored:
                stored.append(queue)
        self._publisher.came_back(stored)

    async def _take_failed(self, message: Message, commit: Commit) -> None:
        record = FailedRecord.decode(message.payload)
        commit.failed.append(new_failed(record, self._context.tokens))

    def _record_id(self, message: Message) -> str:
        """The same, however often this delivery comes; no job has it."""
        return f"{self._given.id_of(message)}-unreadable"

    def _keep(
        self, topic: str, payload: bytes, record_id: str, error: Exception, commit: Commit
    ) -> str:
        """An unreadable message is kept, with its bytes; under which id."""
        log.warning("unreadable message topic=%s error=%s", topic, error)
        queue = _shown_queue(self._context.topics.queue_of(topic) or DEFAULT_QUEUE)
        now = self._context.clock.now()
        commit.failed.append(unreadable(payload, record_id, queue, error, now))
        return record_id


def _of_its_queue(envelope: Envelope) -> Envelope:
    """Where devices publish, no message says for other queues what is unique or limited."""
    options = {name: part for name, part in envelope.options.items() if name != "across_queues"}
    return envelope.evolve(options=options)


_check_queue = checks.queue("the queue of the topic")


def _shown_queue(queue: str) -> str:
    """Under which queue an unreadable message is kept: its own, if it is one."""
    try:
        return str(_check_queue(queue))
    except UnreadableMessage:
        return DEFAULT_QUEUE
