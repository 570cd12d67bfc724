"""What travels of a job: its envelope, dressed by the guard, packed, and not too large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.send.arguments import check_delay, check_named, checked_headers, epoch
from routeq_mqtt.errors import PayloadTooLarge
from routeq_mqtt.jobs.codec import pack_job, to_envelope
from routeq_mqtt.jobs.keywords import name_of
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.names import check_queue_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.security.guard import Guard


class Serializer:
    """Turns a job into the bytes of its envelope: signed, encrypted, and checked for size.

    Args:
        guard: signs and seals, where that is wanted.
        clock: when a job is dispatched.
        max_payload: bytes of an envelope.
        keeps: an outbox may hold jobs for hours before the scheduler gets them: a delay counts from
            now, and becomes a `run_at`.
    """

    def __init__(self, guard: Guard, clock: Clock, max_payload: int, *, keeps: bool) -> None:
        self._guard = guard
        self._clock = clock
        self._max_payload = max_payload
        self._keeps = keeps

    def envelope(
        self,
        job: Job,
        *,
        queue: str | None = None,
        delay: float | None = None,
        run_at: datetime | float | None = None,
        expires_at: datetime | float | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Envelope:
        """Of a job; the arguments are those of `Bus.dispatch`.

        Raises:
            ConfigurationError: one of them makes no sense.
        """
        now = self._clock.now()
        check_delay(delay, run_at, now=now)
        if queue is not None:
            check_queue_name(queue, "dispatch: queue")
        return self._fixed(
            to_envelope(
                job,
                queue=queue,
                delay=delay or None,
                run_at=epoch("run_at", run_at),
                expires_at=epoch("expires_at", expires_at),
                headers=checked_headers(headers),
                now=now,
            )
        )

    def named(
        self,
        name: str,
        data: Mapping[str, Any],
        queue: str,
        *,
        delay: float | None = None,
        expires_at: datetime | float | None = None,
    ) -> Envelope:
        """Of a job whose class is not at hand; the arguments are those of `Bus.dispatch_named`."""
        now = self._clock.now()
        check_delay(delay, now=now)
        check_named(name, data)
        return self._fixed(
            Envelope(
                id=new_id(),
                job=name,
                data=dict(data),
                queue=queue,
                delay=delay or None,
                expires_at=epoch("expires_at", expires_at),
                dispatched_at=now,
            )
        )

    def pack(self, envelope: Envelope) -> bytes:
        """An envelope as it travels.

        Raises:
            PackingError: an attribute cannot travel.
            PayloadTooLarge: there are too many bytes of it.
        """
        if self._guard.dresses:
            envelope = self._guard.dress(envelope, self._clock.now())
        payload = envelope.encode()
        self._check_size(envelope.job, payload)
        return payload

    def pack_now(self, job: Job, queue: str | None) -> tuple[str, str, bytes]:
        """Id, queue and packed envelope of a job that is sent now; raises as `pack` does."""
        if self._guard.dresses:
            envelope = self.envelope(job, queue=queue)
            return str(envelope.id), str(envelope.queue), self.pack(envelope)
        packed = pack_job(job, now=self._clock.now(), queue=queue)
        self._check_size(name_of(type(job)), packed[2])
        return packed

    def _fixed(self, envelope: Envelope) -> Envelope:
        if not self._keeps or envelope.delay is None or envelope.dispatched_at is None:
            return envelope
        return envelope.evolve(delay=None, run_at=envelope.dispatched_at + envelope.delay)

    def _check_size(self, name: str, payload: bytes) -> None:
        limit = self._max_payload
        if len(payload) > limit:
            raise PayloadTooLarge(
                f"job {name!r} takes {len(payload)} bytes, more than max_payload={limit}; "
                "send a reference to the data, or raise ROUTEQ_MAX_PAYLOAD"
            )
