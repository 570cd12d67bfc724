"""What a job brings along for the scheduler to decide on: in the `options` of its envelope."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.batches import NewBatch
from routeq_mqtt.scheduler.limits import lane_of

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.rows import NewRow
    from routeq_mqtt.wire.envelope import Envelope

Ends = Literal["finished", "started", "time"]

_FOR_EVER = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lock that a job wants.

    Attributes:
        key: of the lock: one job at a time has it.
        ends: when it is given back: its job is over, has begun to run, or only with time.
        until: when it lapses in any case, UTC epoch seconds.
        replaces: a newcomer's content takes the place of the waiting job's, which then waits so
            many seconds anew; None: a newcomer is dropped.
    """

    key: str
    ends: Ends
    until: float
    replaces: float | None = None


def special(row: NewRow, envelope: Envelope, now: float) -> NewRow:
    """A row with all that its envelope asks for; a later step of a chain is held."""
    options = envelope.options
    step = options.get("step")
    return replace(
        row,
        state="held" if step else row.state,
        claim=claim_of(envelope, now),
        chain=options.get("chain"),
        step=step,
        batch=options.get("batch"),
        lane=lane_of(options["limits"]) if options.get("limits") else None,
    )


def batch_of(request: object) -> NewBatch:
    """The batch that a durable dispatch begins, or adds to.

    Raises:
        UnreadableMessage: it is none.
    """
    if not isinstance(request, dict) or not isinstance(request.get("id"), str):
        raise UnreadableMessage("`batch` is a map with the `id` of the batch")
    name = request.get("name")
    return NewBatch(
        id=request["id"],
        name=name if isinstance(name, str) else None,
        open=bool(request.get("open")),
    )


def claim_of(envelope: Envelope, now: float) -> Claim | None:
    """The claim of a job that has not been admitted yet."""
    options = envelope.options
    if "unique_key" not in options:
        return None
    key = f"{envelope.job}:{options['unique_key']}"
    if "debounce_for" in options:
        return Claim(
            key=key, ends="finished", until=_FOR_EVER, replaces=float(options["debounce_for"])
        )
    if "throttle_for" in options:
        return Claim(key=key, ends="time", until=now + options["throttle_for"])
    until = now + options["unique_for"] if "unique_for" in options else _FOR_EVER
    return Claim(key=key, ends=options.get("unique_until", "finished"), until=until)
