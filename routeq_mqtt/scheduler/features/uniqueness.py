"""What a job brings along for the scheduler to decide on: in the `options` of its envelope."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.features.limits import lane_of
from routeq_mqtt.scheduler.store.rows import Claim, NewBatch

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.rows import NewRow
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.messages.durable import BatchPart


_FOR_EVER = 1e12


def special(row: NewRow, envelope: Envelope, now: float) -> NewRow:
    """A row with all that its envelope asks for; a later step of a chain is held."""
    options = envelope.options
    step = options.get("step")
    return replace(
        row,
        state="held" if step else row.state,
        claim=claim_of(envelope, row.queue, now),
        chain=options.get("chain"),
        step=step,
        batch=options.get("batch"),
        lane=_lane(options, row.queue) if options.get("limits") else None,
    )


def _lane(options: dict[str, Any], queue: str) -> str:
    scope = _scope(options, queue)
    return lane_of([limit | {"key": scope + limit["key"]} for limit in options["limits"]])


def _scope(options: dict[str, Any], queue: str) -> str:
    """What stands before a key: its queue, unless its class says that it counts on all of them."""
    return "/" if options.get("across_queues") else f"{queue}/"


def batch_of(part: BatchPart) -> NewBatch:
    """The batch that a durable dispatch begins, or adds to."""
    return NewBatch(id=part.id, name=part.name, open=part.open)


def claim_of(envelope: Envelope, queue: str, now: float) -> Claim | None:
    """The claim of a job that has not been admitted yet, on a queue."""
    options = envelope.options
    if "unique_key" not in options:
        return None
    claim = Claim(
        job=envelope.job,
        place="" if options.get("across_queues") else queue,
        own=options["unique_key"],
        ends="finished",
        until=_FOR_EVER,
    )
    if "debounce_for" in options:
        return replace(claim, replaces=float(options["debounce_for"]))
    if "throttle_for" in options:
        return replace(claim, ends="time", until=now + options["throttle_for"])
    until = now + options["unique_for"] if "unique_for" in options else _FOR_EVER
    return replace(claim, ends=options.get("unique_until", "finished"), until=until)
