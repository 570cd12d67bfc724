"""What a message may ask for beyond what the class of its job says."""

from __future__ import annotations

import pytest

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.jobs.options import Overrides
from routeq_mqtt.scheduler.features.uniqueness import claim_of
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.execute.overrides import within
from tests.cluster.cluster import Cluster

NOW = 1_000.0
GREEDY = Envelope(
    job="Bounded",
    max_tries=10**12,
    timeout=0,
    retry_after=1e10,
    backoff=[1e10, 1.0],
    options={"retry_until": 1e11, "result_ttl": 1e10, "fail_on_timeout": False, "x": 1},
)


class Modest(Job):
    overrides = Overrides(max_tries=5, timeout=90, wait=60, retry_until=600, result_ttl=30)

    async def handle(self) -> None: ...


class Deaf(Job):
    overrides = None
    retry_until = 100

    async def handle(self) -> None: ...


class Endless(Job):
    timeout = 0
    max_tries = 7
    overrides = Overrides(max_tries=2)

    async def handle(self) -> None: ...


def test_a_message_gets_the_bound_of_what_it_asks_for() -> None:
    got = within(Modest, GREEDY, NOW, allowed=True)
    assert (got.max_tries, got.timeout, got.retry_after, got.backoff) == (5, 90, 60, [60, 1.0])
    assert got.options == {
        "retry_until": NOW + 600, "result_ttl": 30, "fail_on_timeout": False, "x": 1
    }  # fmt: skip


def test_what_the_class_says_itself_is_always_allowed() -> None:
    got = within(Endless, Envelope(job="Endless", max_tries=9, timeout=0), NOW, allowed=True)
    assert (got.max_tries, got.timeout) == (7, 0)
    assert within(Modest, Envelope(job="Modest", max_tries=2), NOW, allowed=True).max_tries == 2


@pytest.mark.parametrize(("job", "allowed"), [(Deaf, True), (Modest, False)])
def test_a_message_asks_for_nothing_where_that_is_off(job: type[Job], allowed: bool) -> None:
    got = within(job, GREEDY, NOW, allowed=allowed)
    assert (got.max_tries, got.timeout, got.retry_after, got.backoff) == (None,) * 4
    until = {"retry_until": NOW + 100} if job is Deaf else {}
    assert got.options == {"x": 1} | until


def test_a_bound_is_no_word_of_the_message_s_own_clock() -> None:
    late = Envelope(job="Modest", dispatched_at=1e11, options={"retry_until": 1e11})
    assert within(Modest, late, NOW, allowed=True).options["retry_until"] == NOW + 600


@pytest.mark.parametrize("value", [0, -1, True, 1.5, None, float("nan")])
def test_a_bound_must_be_a_number(value: object) -> None:
    with pytest.raises(ConfigurationError, match="max_tries="):
        Overrides(max_tries=value)  # type: ignore[arg-type]


def test_a_key_is_of_its_queue_unless_the_class_says_otherwise() -> None:
    def key(queue: str, **options: object) -> object:
        envelope = Envelope(job="J", options={"unique_key": "k", **options})
        claim = claim_of(envelope, queue, NOW)
        return None if claim is None else claim.key

    assert key("a") != key("b")
    assert key("a", across_queues=True) == key("b", across_queues=True)
    assert key("a", across_queues=True) not in {key("a"), key("b")}


@pytest.mark.parametrize(("setting", "attempts"), [("true", 100), ("false", 2)])
async def test_a_message_cannot_have_a_job_tried_for_ever(
    cluster: Cluster, setting: str, attempts: int
) -> None:
    await cluster.scheduler()
    await cluster.worker(ROUTEQ_OVERRIDES=setting)
    asked = Envelope(job="Hopeless", max_tries=10**12, retry_after=0, timeout=0)
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        await connection.publish("$queue/default", asked.encode())
        [record] = await cluster.failed_records(bus, 1)
    assert cluster.recorder.named("failed")[0]["attempt"] == attempts
    assert record["reason"] == "exception"
