"""The whole retry policy, on both brokers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from routeq_mqtt import Release
from routeq_mqtt.errors import ConfigurationError, Retry
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.execute.retry_policy import RetryPolicy, options_after, why_no_more
from tests.cluster.cluster import Cluster
from tests.features.jobs import Bounded, Locked, Picky, Slow, UntilLater

APP = ("--app", "tests.features.jobs")


@pytest.mark.parametrize(
    ("job", "tries", "reason"),
    [
        (Picky(), 2, "not to be retried"),
        (Slow(), 1, "timeout"),
        (Bounded(), 4, "max_exceptions"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Job) else None,
)
async def test_why_there_is_no_further_attempt(
    cluster: Cluster, job: Job, tries: int, reason: str
) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        await bus.dispatch(job)
        [record] = await cluster.failed_records(bus, 1)
    assert record["reason"] == reason
    assert [event["attempt"] for event in cluster.recorder.named("tried")] == [*range(1, tries + 1)]


async def test_retry_until_ends_the_attempts_and_begins_anew_by_hand(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(UntilLater())
        [record] = await cluster.failed_records(bus, 1)
        assert record["reason"] == "retry_until"
        events = cluster.recorder.named("tried")
        assert len(events) > 3  # more than the default of max_tries
        await bus.requests.call("failed.retry", ids=[job_id.id])
        await cluster.recorder.count("tried", len(events) + 2)


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("stored", [False, True])
async def test_a_released_run_does_not_count(cluster: Cluster, delay: float, stored: bool) -> None:
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    async with cluster.bus() as bus:
        await bus.dispatch(Locked(delay=delay), confirm="stored" if stored else "broker")
        await cluster.recorder.count("ran", 1)
        assert await bus.requests.call("failed.list") == []
    times = [event["at"] for event in cluster.recorder.named("tried")]
    assert cluster.recorder.ran() == {"[1, 1, 1]": 1}
    assert all(later - earlier >= delay for earlier, later in pairwise(times))


# -- the rules, without a bus ----------------------------------------------------------------------


def why(
    job_class: type[Job], envelope: Envelope, error: BaseException, **more: float
) -> str | None:
    policy = RetryPolicy.of(job_class, envelope, timeout=None, max_tries=None)
    options = options_after(job_class, envelope, error, now=100.0)
    return why_no_more(
        job_class,
        options,
        envelope.attempt,
        policy,
        error,
        timed_out=isinstance(error, TimeoutError),
        next_at=more.get("next_at", 100.0),
    )


def test_what_the_envelope_says_beats_the_class() -> None:
    timeout = TimeoutError()
    assert why(Slow, Envelope(job="Slow"), timeout) == "timeout"
    assert why(Slow, Envelope(job="Slow", options={"fail_on_timeout": False}), timeout) is None
    one = Envelope(job="Bounded", options={"max_exceptions": 1})
    assert why(Bounded, one, RuntimeError()) == "max_exceptions"
    assert why(Bounded, one, Retry()) is None


def test_a_device_does_not_know_until_when_a_job_may_be_retried() -> None:
    sent = Envelope(job="UntilLater", dispatched_at=99.9)
    assert options_after(UntilLater, sent, RuntimeError(), 100.0)["retry_until"] == 101.9
    assert why(UntilLater, sent, RuntimeError(), next_at=101.8) is None
    assert why(UntilLater, sent, RuntimeError(), next_at=102.0) == "retry_until"
    assert options_after(UntilLater, Envelope(job="x"), RuntimeError(), 7.0)["retry_until"] == 9.0


def test_retry_until_with_max_tries_holds_both() -> None:
    class Both(UntilLater):
        max_tries = 2

    assert why(Both, Envelope(job="Both", attempt=2), RuntimeError()) == "exception"
    assert why(UntilLater, Envelope(job="x", attempt=500), RuntimeError()) is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retry_until", -1),
        ("retry_until", "tomorrow"),
        ("max_exceptions", 0),
        ("fail_on_timeout", 1),
        ("dont_retry_on", ValueError),
        ("dont_retry_on", ("ValueError",)),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_written(option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"Wrong: {option}="):
        type("Wrong", (Job,), {option: value})


def test_a_release_into_the_past_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="delay=-1"):
        Release(-1)
