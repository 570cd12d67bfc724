"""What a scheduler decides, in memory: unique jobs, chains and batches of a fake bus.

The rules are those of the real one, see `scheduler.admission` and `scheduler.schema_batches`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from routeq_mqtt.errors import ConfigurationError, RequestFailed
from routeq_mqtt.scheduler.features.uniqueness import claim_of
from routeq_mqtt.scheduler.store.schema.batches import SHOWN
from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS, CATCH, FINALLY, THEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from routeq_mqtt.scheduler.store.rows import Claim
    from routeq_mqtt.wire.envelopes.envelope import Envelope

How = Literal["done", "failed", "cancelled"]


@dataclass(slots=True)
class _Batch:
    """A batch: its counters, its callbacks by their steps, and jobs that wait for its last part."""

    id: str
    name: str | None
    created_at: float
    open: bool = True
    total: int = 0
    pending: int = 0
    failed: int = 0
    cancelled: int = 0
    called_off: bool = False
    finished_at: float | None = None
    callbacks: dict[int, Envelope] = field(default_factory=dict)
    waiting: list[Envelope] = field(default_factory=list)

    def counted(self, how: How) -> list[Envelope]:
        """One of its jobs is over; the callback that follows on that."""
        self.pending -= 1
        self.failed += how == "failed"
        self.cancelled += how == "cancelled"
        return self._taken(CATCH) if self.failed else []

    def settled(self, now: float) -> list[Envelope]:
        """The callbacks of its end, if this is it."""
        if self.pending or self.open or self.finished_at is not None:
            return []
        self.finished_at = now
        whole = not (self.failed or self.cancelled)
        last = [*(self._taken(THEN) if whole else []), *self._taken(FINALLY)]
        self.callbacks.clear()
        return last

    def _taken(self, step: int) -> list[Envelope]:
        found = self.callbacks.pop(step, None)
        return [] if found is None else [found]

    def shown(self) -> dict[str, Any]:
        """As the scheduler shows it."""
        return {name: getattr(self, name) for name in SHOWN}


class FakeScheduler:
    """Locks, chains and batches.

    Args:
        replace: puts a newcomer in the place of a job that waits for its time; whether it did.
    """

    def __init__(self, replace: Callable[[str, Envelope], bool]) -> None:
        self._replace = replace
        self._locks: dict[tuple[str, str, str], tuple[Claim, str]] = {}
        self._chains: dict[str, dict[int, Envelope]] = {}
        self._batches: dict[str, _Batch] = {}

    def admit(
        self, envelopes: Sequence[Envelope], part: dict[str, Any] | None, now: float
    ) -> tuple[list[str], list[Envelope], list[str]]:
        """Take jobs in.

        Args:
            envelopes: that were dispatched together.
            part: the batch that they begin or go on with, as a durable dispatch says it.
            now: UTC epoch seconds.

        Returns:
            For each the id to answer with; those that may run; ids of those that are cancelled.
        """
        batch = None if part is None else self._begin(part, now)
        answers, free, cancelled = [], [], []
        for envelope in envelopes:
            job_id = str(envelope.id)
            other = self._claim(envelope, now)
            answers.append(other or job_id)
            if other is None:
                fate = self._place(envelope, batch)
                free += [envelope] if fate == "free" else []
                cancelled += [job_id] if fate == "cancelled" else []
        if batch is not None and part is not None and not part["open"]:
            batch.open = False
            free = [*batch.waiting, *free, *batch.settled(now)]
            batch.waiting = []
        return answers, free, cancelled

    def _begin(self, part: dict[str, Any], now: float) -> _Batch:
        new = _Batch(part["id"], part.get("name"), now)
        return self._batches.setdefault(new.id, new)

    def _claim(self, envelope: Envelope, now: float) -> str | None:
        """Get the lock, or return the id of the job that has it."""
        claim = claim_of(envelope, envelope.queue or "default", now)
        if claim is None:
            return None
        held, holder = self._locks.get(claim.key, (None, ""))
        there = held is not None and held.until > now and holder != envelope.id
        if there and (claim.replaces is None or self._replace(holder, envelope)):
            return holder
        self._locks[claim.key] = (claim, str(envelope.id))
        return None

    def _place(
        self, envelope: Envelope, batch: _Batch | None
    ) -> Literal["free", "held", "cancelled"]:
        options = envelope.options
        chain, step = str(options.get("chain", "")), int(options.get("step", 0))
        if chain.startswith(CALLBACKS):
            self._batches[chain.removeprefix(CALLBACKS)].callbacks[step] = envelope
            return "held"
        if step:
            self._chains.setdefault(chain, {})[step] = envelope
            return "held"
        mine = self._batches.get(options.get("batch", ""))
        if mine is None:
            return "free"
        mine.total += 1
        if mine.called_off:
            mine.cancelled += 1
            return "cancelled"
        mine.pending += 1
        if mine is batch and mine.open:
            mine.waiting.append(envelope)
            return "held"
        return "free"

    def started(self, envelope: Envelope) -> None:
        """It begins to run."""
        self._unlock(str(envelope.id), "started")

    def ended(self, envelope: Envelope, how: How, now: float) -> tuple[list[Envelope], list[str]]:
        """A job is over: those that may run now, and ids of those that are cancelled with it."""
        self._unlock(str(envelope.id), "started", "finished")
        free: list[Envelope] = []
        cancelled: list[str] = []
        rest = self._chains.get(envelope.options.get("chain", ""), {})
        following = rest.pop(envelope.options.get("step", 0) + 1, None) if how == "done" else None
        if following is not None:
            free.append(following)
        elif how == "cancelled":
            cancelled = [str(later.id) for later in rest.values()]
            rest.clear()
        batch = self._batches.get(envelope.options.get("batch", ""))
        if batch is not None:
            free += [*batch.counted(how), *batch.settled(now)]
        return free, cancelled

    def _unlock(self, job_id: str, *ends: str) -> None:
        gone = [
            key
            for key, (claim, holder) in self._locks.items()
            if holder == job_id and claim.ends in ends
        ]
        for key in gone:
            del self._locks[key]

    # -- what is held --------------------------------------------------------------------------

    def held(self) -> list[Envelope]:
        """Jobs that wait for others."""
        chains = [later for chain in self._chains.values() for later in chain.values()]
        batches = self._batches.values()
        parts = [one for batch in batches for one in (*batch.waiting, *batch.callbacks.values())]
        return chains + parts

    def drop(self, job_id: str) -> Envelope | None:
        """Take a job out that waits for others; its chain goes with its end."""
        places: Iterable[dict[int, Envelope]] = [
            *self._chains.values(), *(batch.callbacks for batch in self._batches.values())
        ]  # fmt: skip
        for place in places:
            for step, envelope in place.items():
                if envelope.id == job_id:
                    return place.pop(step)
        for batch in self._batches.values():
            for envelope in batch.waiting:
                if envelope.id == job_id:
                    batch.waiting.remove(envelope)
                    return envelope
        return None

    # -- batches -------------------------------------------------------------------------------

    def batch(self, batch_id: str) -> dict[str, Any]:
        """How far a batch is.

        Raises:
            RequestFailed: there is none of this id.
        """
        return self._batch(batch_id).shown()

    def _batch(self, batch_id: str) -> _Batch:
        if batch_id not in self._batches:
            raise RequestFailed(f"no batch has the id {batch_id!r}")
        return self._batches[batch_id]

    def call_off(self, batch_id: str) -> list[Envelope]:
        """Nothing comes to a batch any more; its jobs that wait here, which are then cancelled."""
        batch = self._batch(batch_id)
        if batch.finished_at is not None and not batch.pending:
            return []
        batch.called_off, batch.open = True, False
        waiting, batch.waiting = batch.waiting, []
        return waiting


def unknown(method: str) -> ConfigurationError:
    """What is said to who asks for more."""
    return ConfigurationError(
        f"the bus is a fake one without a scheduler, and {method!r} needs one; use MemoryBus, or "
        "the fixture routeq_broker"
    )
