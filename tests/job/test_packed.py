"""A job that is sent now is packed without an envelope object: what travels is the same."""

from __future__ import annotations

from typing import Any

import pytest

from routeq_mqtt.errors import ConfigurationError, PackingError
from routeq_mqtt.jobs.codec import pack_job, to_envelope
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.wire.envelopes.envelope import Envelope


class Packed(Job):
    queue = "parcels"
    to: str
    weight: float = 1.5

    async def handle(self) -> None: ...


class PackedBare(Job):
    async def handle(self) -> None: ...


class PackedUntil(Job):
    retry_until = 60

    async def handle(self) -> None: ...


def with_options() -> Job:
    job = Packed(to="b")
    job.max_tries = 7
    job.backoff = (1, 2)
    return job


@pytest.mark.parametrize("queue", [None, "other"])
@pytest.mark.parametrize("make", [lambda: Packed(to="a"), PackedBare, PackedUntil, with_options])
def test_the_same_travels_either_way(make: Any, queue: str | None) -> None:
    job = make()
    wanted = to_envelope(job, now=5.0, queue=queue)
    job_id, name, payload = pack_job(job, now=5.0, queue=queue)
    assert job.job_id == job_id != wanted.id
    assert name == wanted.queue
    assert Envelope.decode(payload) == wanted.evolve(id=job_id)


def test_what_cannot_travel_is_named() -> None:
    with pytest.raises(PackingError, match="to"):
        pack_job(Packed(to=object()), now=1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is not a job"):
        pack_job("a text", now=1.0)  # type: ignore[arg-type]
    wrong = Packed(to="a")
    wrong.max_tries = 0
    with pytest.raises(ConfigurationError, match="max_tries"):
        pack_job(wrong, now=1.0)
