"""Reads messages, and says what of them is to be stored."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.scheduler.arrived import DEFAULT_QUEUE, add_job, arrived_row
from routeq_mqtt.scheduler.claims import batch_of
from routeq_mqtt.scheduler.failing import new_failed, unreadable
from routeq_mqtt.scheduler.returned import returned_row
from routeq_mqtt.topics import DOCTOR
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.wire.record import FailedRecord
from routeq_mqtt.wire.result import JobResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.scheduler.commit import Commit
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.publisher import Publisher
    from routeq_mqtt.scheduler.triggers import Triggers
    from routeq_mqtt.transport.seam import Message

log = logging.getLogger(__name__)


class Sorter:
    """One way to read for each topic; what comes to any other is a job.

    Args:
        context: what the roles share.
        publisher: counts what workers give back.
        triggers: which messages of devices become jobs.
    """

    def __init__(self, context: Context, publisher: Publisher, triggers: Triggers) -> None:
        self._context = context
        self._publisher = publisher
        self._triggers = triggers
        topics = context.topics
        self._exact: dict[str, Callable[[Message, Commit], Awaitable[None]]] = {
            topics.schedule: self._take_job,
            topics.failed: self._take_failed,
            topics.rpc("census"): self._take_answer,
            topics.done: self._take_done,
            topics.result: self._take_result,
            topics.back: self._take_back,
        }

    async def sort(self, message: Message, commit: Commit) -> None:
        """Read a message into a commit; one that nobody can read becomes a failed record.

        Raises:
            StoreUnavailable: try again.
        """
        if message.payload == DOCTOR or self._context.is_bridged(message.topic):
            return
        handler = self._exact.get(message.topic, self._take_job)
        if message.topic.startswith(self._context.topics.store("")):
            handler = self._take_durable
        elif self._context.topics.is_foreign(message.topic):
            handler = self._take_reading
        try:
            await handler(message, commit)
        except UnreadableMessage as error:
            self._keep(message.topic, message.payload, error, commit)

    async def _take_job(self, message: Message, commit: Commit) -> None:
        envelope = Envelope.decode(message.payload)
        queue = self._context.topics.queue_of(message.topic) or envelope.queue or DEFAULT_QUEUE
        try:
            check_queue_name(queue, f"message on {message.topic!r}: queue")
        except ConfigurationError as error:
            raise UnreadableMessage(str(error)) from None
        job_id = envelope.id
        if job_id is None:
            job_id = await self._tag(message, commit)
        add_job(commit, envelope, job_id, queue, self._context.clock, durable=False)

    async def _take_reading(self, message: Message, commit: Commit) -> None:
        """A device's message, one job for each trigger. What is retained is old, and no event."""
        triggers = [] if message.retain else self._triggers.matching(message.topic)
        if not triggers:
            return
        first = await self._tag(message, commit)
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
            row = arrived_row(envelope, job_id, one.queue, clock, durable=False)
            commit.rows.append(row)

    async def _tag(self, message: Message, commit: Commit) -> str:
        """Give an id at first touch; the same again should this very message come again."""
        digest = hashlib.blake2b(message.payload, digest_size=16).digest()
        known = None
        if message.dup:
            known = await self._context.store.untagged_id(message.packet_id, digest)
        job_id = known or new_id()
        commit.untagged.append((message.packet_id, digest, job_id))
        return job_id

    async def _take_durable(self, message: Message, commit: Commit) -> None:
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
                taken.append(self._keep(message.topic, payload, error, commit))
                continue
            job_id = envelope.id or new_id()
            add_job(
                commit, envelope, job_id, envelope.queue or queue, self._context.clock, durable=True
            )
            taken.append(job_id)
        if request.get("batch") is not None:
            commit.batches.append(batch_of(request["batch"]))
        commit.replies.append(request | {"taken": taken})

    async def _take_done(self, message: Message, commit: Commit) -> None:
        outcomes = unpack(message.payload)
        started: list[tuple[str, int]] = []
        lists = {"done": commit.done, "cancelled": commit.cancelled, "started": started}
        try:
            for job_id, attempt, *word in outcomes:
                lists[word[0] if word else "done"].append((str(job_id), int(attempt)))
        except (TypeError, ValueError, KeyError):
            raise UnreadableMessage(
                "outcomes are a list of [job id, attempt] or [job id, attempt, outcome]; "
                f"the outcomes are {', '.join(lists)}"
            ) from None
        commit.started.extend(job_id for job_id, _ in started)

    async def _take_answer(self, message: Message, commit: Commit) -> None:
        try:
            answer = unpack(message.payload)["args"]
        except (UnreadableMessage, KeyError, TypeError):
            answer = None
        if isinstance(answer, dict):
            commit.answers.append(answer)
        else:
            log.warning("an answer to a census that is none size=%d", len(message.payload))

    async def _take_result(self, message: Message, commit: Commit) -> None:
        commit.results.append(JobResult.decode(message.payload))

    async def _take_back(self, message: Message, commit: Commit) -> None:
        """What a worker gives back, unstarted: as if its session had been adopted."""
        now = self._context.clock.now()
        try:
            jobs = [(str(queue), bytes(payload)) for queue, payload in unpack(message.payload)]
        except (TypeError, ValueError):
            raise UnreadableMessage("jobs given back are a list of [queue, envelope]") from None
        back = [(queue, Envelope.decode(payload)) for queue, payload in jobs]
        if any(envelope.id is None for _, envelope in back):
            raise UnreadableMessage("a job that is given back has an id")
        commit.back += [returned_row(one, str(one.id), queue, now=now) for queue, one in back]
        self._publisher.came_back(queue for queue, envelope in back if envelope.stored)

    async def _take_failed(self, message: Message, commit: Commit) -> None:
        record = FailedRecord.decode(message.payload)
        commit.failed.append(new_failed(record))

    def _keep(self, topic: str, payload: bytes, error: UnreadableMessage, commit: Commit) -> str:
        """What nobody can read is kept, with its bytes; under which id."""
        log.warning("unreadable message topic=%s error=%s", topic, error)
        queue = self._context.topics.queue_of(topic) or DEFAULT_QUEUE
        record = unreadable(payload, queue, error, self._context.clock.now())
        commit.failed.append(record)
        return record.id
