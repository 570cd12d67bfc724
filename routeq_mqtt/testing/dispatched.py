"""What a fake bus has recorded, and how a failed test shows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnknownJob
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.codec import from_envelope
from routeq_mqtt.testing.arguments import check_wanted
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.wire.envelopes.envelope import Envelope

_MOST_SHOWN = 20


@dataclass(frozen=True)
class Dispatched:
    """One job as it was dispatched.

    Attributes:
        envelope: what would have travelled.
        delay: seconds until it is due, counted from its dispatch; None: it is due at once.
    """

    envelope: Envelope
    delay: float | None

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.envelope.id)

    @property
    def name(self) -> str:
        """The job's wire name."""
        return self.envelope.job

    @property
    def queue(self) -> str:
        """Where it went."""
        return str(self.envelope.queue)

    @property
    def headers(self) -> dict[str, Any]:
        """What travels with it."""
        return self.envelope.headers

    @cached_property
    def job(self) -> Job:
        """The job as a worker would see it: its data have travelled, a tuple is a list now.

        Raises:
            UnknownJob: it was dispatched by its name, and no class is registered under that.
            UnreadableMessage: its data do not fit its class; a worker could not read it either.
        """
        return from_envelope(self.envelope)

    def is_a(self, job_class: type[Job]) -> bool:
        """Whether it is a job of this class, or of one below it."""
        try:
            return issubclass(registry.lookup(self.name), job_class)
        except UnknownJob:
            return False

    def __str__(self) -> str:
        data = ", ".join(f"{name}={shown(value)}" for name, value in self.envelope.data.items())
        late = "" if self.delay is None else f", due in {self.delay:g} s"
        return f"{self.name}({data}) on queue {self.queue!r}{late}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a test looks for among the dispatched jobs.

    Attributes:
        job: its class.
        where: what it must fulfil; None: nothing.
        queue: where it went; None: anywhere.
        delay: seconds; 0: due at once; None: any.
    """

    job: type[Job]
    where: Callable[[Any], object] | None = None
    queue: str | None = None
    delay: object = None

    def __post_init__(self) -> None:
        check_wanted(self.job, self.where, self.queue, self.delay)

    def fits(self, one: Dispatched) -> bool:
        """Whether a dispatched job is what the test looks for."""
        return (
            one.is_a(self.job)
            and (self.queue is None or one.queue == self.queue)
            and (self.delay is None or (one.delay or 0) == self.delay)
            and (self.where is None or bool(self.where(one.job)))
        )

    def __str__(self) -> str:
        parts = [self.job.__name__]
        if self.queue is not None:
            parts.append(f"on queue {self.queue!r}")
        if self.delay is not None:
            parts.append(f"due in {self.delay} s" if self.delay else "due at once")
        if self.where is not None:
            parts.append("that fits the given function")
        return " ".join(parts)


def listed(dispatched: Sequence[Dispatched]) -> str:
    """All dispatched jobs, for the message of a failed test."""
    if not dispatched:
        return "Nothing was dispatched."
    lines = [f"  {number}. {one}" for number, one in enumerate(dispatched[:_MOST_SHOWN], 1)]
    if len(dispatched) > _MOST_SHOWN:
        lines.append(f"  and {len(dispatched) - _MOST_SHOWN} more")
    return "\n".join(["Dispatched were:", *lines])
