"""Messages become rows, and are acknowledged after the commit: many messages, one commit."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage, UnsupportedVersion
from routeq_mqtt.scheduler.claims import batch_of, special
from routeq_mqtt.scheduler.failing import new_failed
from routeq_mqtt.scheduler.returned import returned_row
from routeq_mqtt.scheduler.rows import NewFailed, NewRow, StoreUnavailable
from routeq_mqtt.signal import Signal
from routeq_mqtt.topics import DOCTOR
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.options import needs_admission
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.wire.record import FailedRecord
from routeq_mqtt.wire.result import JobResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from routeq_mqtt.scheduler.admission import Admission
    from routeq_mqtt.scheduler.batches import NewBatch
    from routeq_mqtt.scheduler.census import Census
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.control import Control
    from routeq_mqtt.scheduler.publisher import Publisher
    from routeq_mqtt.scheduler.triggers import Triggers
    from routeq_mqtt.transport.seam import Connection, Message

log = logging.getLogger(__name__)

_BATCH = 1_000
_HIGH, _LOW = 4_000, 1_000
_TRY_AGAIN = 1.0
DEFAULT_QUEUE = "default"

_TAGGED = 5_000
"""Messages without an id that we remember the given id of; fewer than there are packet ids."""


@dataclass(slots=True)
class Batch:
    """What one commit takes in."""

    rows: list[NewRow] = field(default_factory=list)
    back: list[NewRow] = field(default_factory=list)
    special: list[NewRow] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    batches: list[NewBatch] = field(default_factory=list)
    failed: list[NewFailed] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)
    cancelled: list[tuple[str, int]] = field(default_factory=list)
    results: list[JobResult] = field(default_factory=list)
    untagged: list[tuple[int, bytes, str]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    admitted: dict[str, str] = field(default_factory=dict)


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
        self._triggers = triggers
        self._publisher = publisher
        self._waiting: deque[Waiting] = deque()
        self._arrived = Signal()
        self._taken = self._safe = 0
        self._moved = Signal()
        self._tagged: deque[int] = deque()
        topics = context.topics
        self._exact: dict[str, Callable[[Message, Batch], Awaitable[None]]] = {
            topics.schedule: self._take_job,
            topics.failed: self._take_failed,
            topics.rpc("census"): self._take_answer,
            topics.done: self._take_done,
            topics.result: self._take_result,
            topics.back: self._take_back,
        }

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
        """One pass: a batch of messages into the store, then their acknowledgements."""
        taken = list(itertools.islice(self._waiting, _BATCH))
        batch = await self._stored(taken)
        self._context.hook("after commit")
        for connection, message in taken:
            connection.acknowledge(message)
        for _ in taken:
            connection, _ = self._waiting.popleft()
        self._safe += len(taken)
        self._moved.fire()
        if len(self._waiting) <= _LOW:
            connection.resume()
        self._tell(batch)

    async def take(self, envelope: Envelope) -> None:
        """Take in a job of the scheduler's own; one whose id is known already changes nothing.

        Raises:
            StoreUnavailable: try again.
        """
        batch = Batch()
        job_id = envelope.id or new_id()
        self._add(envelope, job_id, envelope.queue or DEFAULT_QUEUE, batch, durable=True)
        await self._store_once(batch)
        await self._publisher.count()
        self._tell(batch)

    async def _stored(self, taken: Sequence[Waiting]) -> Batch:
        """Store messages; while the disk is full or read-only, they wait at the broker."""
        while True:
            try:
                batch = Batch()
                for _, message in taken:
                    await self._sort(message, batch)
                self._context.hook("before commit")
                await self._store_once(batch)
                await self._publisher.count()
            except StoreUnavailable as error:
                log.error(
                    "cannot commit, jobs wait at the broker waiting=%d error=%s",
                    len(self._waiting),
                    error,
                )
                await self._arrived.wait(_TRY_AGAIN)
            else:
                return batch

    async def _store_once(self, batch: Batch) -> None:
        """Rows before outcomes: a job and its outcome may come in one batch.

        Outcomes before jobs that claim something: what has ended makes room for the next one.
        """
        store, now = self._context.store, self._context.clock.now()
        if batch.rows:
            await store.take(
                batch.rows,
                untagged=batch.untagged,
                forget_untagged=self._forgettable(batch),
                moved=self._context.clock.moved,
            )
        if batch.back:
            await store.restore(batch.back)
        if batch.failed:
            await store.fail(batch.failed, now)
        if batch.done:
            await store.done(batch.done, now)
        if batch.results:
            await self._context.results.keep(batch.results)
        if batch.cancelled:
            await self._control.obeyed(batch.cancelled)
        if batch.started:
            await self._admission.started(batch.started)
        if batch.special or batch.batches:
            batch.admitted = await self._admission.take(
                batch.special, now, batches=batch.batches, moved=self._context.clock.moved
            )
            self._context.hook("admitted")
        for answer in batch.answers:
            await self._census.answer(answer)

    def _forgettable(self, batch: Batch) -> list[int]:
        """Packet ids that the broker may soon use again: their old owners are long acknowledged."""
        self._tagged.extend(packet_id for packet_id, _, _ in batch.untagged)
        old = [self._tagged.popleft() for _ in range(len(self._tagged) - _TAGGED)]
        recent = set(self._tagged)
        return [packet_id for packet_id in old if packet_id not in recent]

    def _tell(self, batch: Batch) -> None:
        self._context.results.ended(_over(batch))
        for request in batch.replies:
            ids = [batch.admitted.get(job_id, job_id) for job_id in request["taken"]]
            self._context.reply(request, result=ids)
        if any(row.state == "delayed" for row in (*batch.rows, *batch.special)):
            self._context.delayed.fire()
        rows = itertools.chain(batch.rows, batch.special, batch.back)
        if any(row.expires_at is not None for row in rows):
            self._context.expiring = True
        self._context.parked.fire()

    # -- sorting -------------------------------------------------------------------------------

    async def _sort(self, message: Message, batch: Batch) -> None:
        if message.payload == DOCTOR or self._context.is_bridged(message.topic):
            return
        handler = self._exact.get(message.topic, self._take_job)
        if message.topic.startswith(self._context.topics.store("")):
            handler = self._take_durable
        elif self._context.topics.is_foreign(message.topic):
            handler = self._take_reading
        try:
            await handler(message, batch)
        except UnreadableMessage as error:
            self._keep(message.topic, message.payload, error, batch)

    async def _take_job(self, message: Message, batch: Batch) -> None:
        envelope = Envelope.decode(message.payload)
        queue = self._context.topics.queue_of(message.topic) or envelope.queue or DEFAULT_QUEUE
        try:
            check_queue_name(queue, f"message on {message.topic!r}: queue")
        except ConfigurationError as error:
            raise UnreadableMessage(str(error)) from None
        job_id = envelope.id
        if job_id is None:
            job_id = await self._tag(message, batch)
        self._add(envelope, job_id, queue, batch, durable=False)

    async def _take_reading(self, message: Message, batch: Batch) -> None:
        """A device's message, one job for each trigger. What is retained is old, and no event."""
        triggers = [] if message.retain else self._triggers.matching(message.topic)
        if not triggers:
            return
        first = await self._tag(message, batch)
        guard, now = self._context.guard, self._context.clock.now()
        for number, one in enumerate(triggers):
            job_id = f"{first}-{number}" if number else first
            envelope = Envelope(
                id=job_id,
                job=one.job,
                data=one.data(message.topic, message.payload),
                dispatched_at=now,
            )
            if guard.dresses:
                envelope = guard.dress(envelope, self._context.clock.wall())
            batch.rows.append(self._row(envelope, job_id, one.queue, durable=False))

    async def _tag(self, message: Message, batch: Batch) -> str:
        """Give an id at first touch; the same again should this very message come again."""
        digest = hashlib.blake2b(message.payload, digest_size=16).digest()
        known = None
        if message.dup:
            known = await self._context.store.untagged_id(message.packet_id, digest)
        job_id = known or new_id()
        batch.untagged.append((message.packet_id, digest, job_id))
        return job_id

    def _add(
        self, envelope: Envelope, job_id: str, queue: str, batch: Batch, *, durable: bool
    ) -> None:
        """One that needs a decision gets it once; its retries are rows like any other."""
        if envelope.options and needs_admission(envelope.options):
            options = envelope.options | {"admitted": True}
            row = self._row(envelope.evolve(options=options), job_id, queue, durable=True)
            batch.special.append(special(row, envelope, self._context.clock.now()))
        else:
            batch.rows.append(self._row(envelope, job_id, queue, durable=durable))

    def _row(self, envelope: Envelope, job_id: str, queue: str, *, durable: bool) -> NewRow:
        now = self._context.clock.now()
        run_at = envelope.run_at
        delay = envelope.options.get("debounce_for", envelope.delay)
        if delay is not None:
            run_at = now + delay
        later = run_at is not None and run_at > now
        kept = envelope.evolve(id=job_id, queue=queue, stored=True, delay=None, run_at=None)
        return NewRow(
            id=job_id,
            queue=queue,
            attempt=envelope.attempt,
            deliveries=envelope.deliveries,
            state="delayed" if later else "parked",
            run_at=run_at if later and run_at is not None else now,
            era=None if delay is None else self._context.clock.era,
            durable=durable,
            expires_at=envelope.expires_at,
            envelope=kept.encode(),
        )

    async def _take_durable(self, message: Message, batch: Batch) -> None:
        request = unpack(message.payload)
        if not isinstance(request, dict) or not isinstance(request.get("args"), list):
            raise UnreadableMessage("a durable dispatch is a map with `args`, a list of envelopes")
        queue = self._context.topics.queue_of(message.topic) or DEFAULT_QUEUE
        taken = []
        for payload in request["args"]:
            if not isinstance(payload, bytes):
                raise UnreadableMessage("a durable dispatch carries envelopes as bytes")
            try:
                envelope = Envelope.decode(payload)
            except UnreadableMessage as error:
                # Kept as failed, and so taken: the others in this message are not to blame.
                taken.append(self._keep(message.topic, payload, error, batch))
                continue
            job_id = envelope.id or new_id()
            self._add(envelope, job_id, envelope.queue or queue, batch, durable=True)
            taken.append(job_id)
        if request.get("batch") is not None:
            batch.batches.append(batch_of(request["batch"]))
        batch.replies.append(request | {"taken": taken})

    async def _take_done(self, message: Message, batch: Batch) -> None:
        outcomes = unpack(message.payload)
        started: list[tuple[str, int]] = []
        lists = {"done": batch.done, "cancelled": batch.cancelled, "started": started}
        try:
            for job_id, attempt, *word in outcomes:
                lists[word[0] if word else "done"].append((str(job_id), int(attempt)))
        except (TypeError, ValueError, KeyError):
            raise UnreadableMessage(
                "outcomes are a list of [job id, attempt] or [job id, attempt, outcome]; "
                f"the outcomes are {', '.join(lists)}"
            ) from None
        batch.started.extend(job_id for job_id, _ in started)

    async def _take_answer(self, message: Message, batch: Batch) -> None:
        try:
            answer = unpack(message.payload)["args"]
        except (UnreadableMessage, KeyError, TypeError):
            answer = None
        if isinstance(answer, dict):
            batch.answers.append(answer)
        else:
            log.warning("an answer to a census that is none size=%d", len(message.payload))

    async def _take_result(self, message: Message, batch: Batch) -> None:
        batch.results.append(JobResult.decode(message.payload))

    async def _take_back(self, message: Message, batch: Batch) -> None:
        """What a worker gives back, unstarted: as if its session had been adopted."""
        now = self._context.clock.now()
        try:
            jobs = [(str(queue), bytes(payload)) for queue, payload in unpack(message.payload)]
        except (TypeError, ValueError):
            raise UnreadableMessage("jobs given back are a list of [queue, envelope]") from None
        back = [(queue, Envelope.decode(payload)) for queue, payload in jobs]
        if any(envelope.id is None for _, envelope in back):
            raise UnreadableMessage("a job that is given back has an id")
        batch.back += [returned_row(one, str(one.id), queue, now=now) for queue, one in back]
        self._publisher.came_back(queue for queue, envelope in back if envelope.stored)

    async def _take_failed(self, message: Message, batch: Batch) -> None:
        record = FailedRecord.decode(message.payload)
        batch.failed.append(new_failed(record))

    def _keep(self, topic: str, payload: bytes, error: UnreadableMessage, batch: Batch) -> str:
        """What nobody can read is kept, with its bytes; under which id."""
        version = isinstance(error, UnsupportedVersion)
        log.warning("unreadable message topic=%s error=%s", topic, error)
        record_id = new_id()
        batch.failed.append(
            new_failed(
                FailedRecord(
                    id=record_id,
                    queue=self._context.topics.queue_of(topic) or DEFAULT_QUEUE,
                    job=None,
                    reason="unsupported version" if version else "unreadable",
                    error=str(error),
                    attempts=[],
                    worker=None,
                    failed_at=self._context.clock.now(),
                    envelope=payload,
                )
            )
        )
        return record_id


def _over(batch: Batch) -> Iterator[str]:
    """The jobs that have ended in this batch."""
    yield from (result.id for result in batch.results)
    yield from (record.id for record in batch.failed)
    yield from (job_id for job_id, _ in (*batch.done, *batch.cancelled))
