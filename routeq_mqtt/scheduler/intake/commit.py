"""What the intake takes in with one commit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.store.rows import NONE_GIVEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_mqtt.scheduler.store.rows import Ended, GivenNow, NewBatch, NewFailed, NewRow
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.wire.envelopes.result import JobResult
    from routeq_mqtt.wire.messages.asking import ReplyTo
    from routeq_mqtt.wire.messages.census import CensusAnswer


@dataclass(slots=True)
class Commit:
    """The messages that the intake stores in one transaction.

    Attributes:
        rows: jobs.
        back: jobs that a worker gave back, unstarted.
        special: jobs that need a decision.
        batches: begun or closed.
        failed: records.
        done, cancelled: jobs that have ended, each with its attempt.
        started: jobs whose locks go with their start.
        results: what jobs returned, each with whether it bears its row's token.
        given: ids of messages that came without one.
        answers: of sessions to a census.
        retained: messages that come again with each new subscription.
        replies: where the ids go that a durable dispatch brought.
        admitted: by the id of a job that needed a decision, the id of the job that counts.
    """

    rows: list[NewRow] = field(default_factory=list)
    back: list[NewRow] = field(default_factory=list)
    special: list[NewRow] = field(default_factory=list)
    batches: list[NewBatch] = field(default_factory=list)
    failed: list[NewFailed] = field(default_factory=list)
    done: list[Ended] = field(default_factory=list)
    cancelled: list[Ended] = field(default_factory=list)
    started: list[Ended] = field(default_factory=list)
    results: list[tuple[JobResult, bool]] = field(default_factory=list)
    given: GivenNow = NONE_GIVEN
    answers: list[CensusAnswer] = field(default_factory=list)
    retained: list[Message] = field(default_factory=list)
    replies: list[tuple[ReplyTo, list[str]]] = field(default_factory=list)
    admitted: dict[str, str] = field(default_factory=dict)

    def ended(self) -> Iterator[str]:
        """Ids of the jobs that have ended."""
        yield from (result.id for result, _ in self.results)
        yield from (record.id for record in self.failed)
        yield from (job_id for job_id, *_ in (*self.done, *self.cancelled))

    def pieces(self) -> Iterator[Commit]:
        """Its parts, in the order in which they are stored, each to be stored by itself.

        The batches are closed behind their jobs.
        """
        if self.given is not NONE_GIVEN:
            yield Commit(given=self.given)
        yield from (Commit(rows=[one]) for one in self.rows)
        yield from (Commit(back=[one]) for one in self.back)
        yield from (Commit(failed=[one]) for one in self.failed)
        yield from (Commit(done=[one]) for one in self.done)
        yield from (Commit(results=[one]) for one in self.results)
        yield from (Commit(cancelled=[one]) for one in self.cancelled)
        yield from (Commit(started=[one]) for one in self.started)
        begun = {batch.id: replace(batch, open=True) for batch in self.batches}
        for one in self.special:
            batch = begun.get(one.batch or "")
            yield Commit(special=[one], batches=[] if batch is None else [batch])
        yield from (Commit(batches=[one]) for one in self.batches)
        yield from (Commit(retained=[one]) for one in self.retained)
        yield from (Commit(answers=[one]) for one in self.answers)

    def is_later(self) -> bool:
        """Whether a job is due later."""
        return any(row.state == "delayed" for row in (*self.rows, *self.special))

    def may_expire(self) -> bool:
        """Whether a job expires."""
        rows = itertools.chain(self.rows, self.special, self.back)
        return any(row.expires_at is not None for row in rows)
