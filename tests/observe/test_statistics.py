"""What the statistics say is what happened: across retries, failures, kills and restarts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, Job
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.observe import stats_table
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.answers import StatPoint
from routeq_mqtt.wire.observe.histogram import BOUNDS, BUCKETS, added, bucket_of, count_in, quantile
from routeq_mqtt.wire.observe.stats import WorkerStats
from routeq_mqtt.wire.observe.tally import Tally
from routeq_mqtt.worker.report import stats as worker_stats
from tests.observe.rig import Obstructed, Rig, Tallied, counted, gates, rig, until


class Quick(Job):
    """Another class."""

    key: str

    async def handle(self) -> None:
        pass


@pytest.fixture
async def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Rig, Bus]]:
    monkeypatch.setattr(worker_stats, "_EVERY", 0.01)
    async with rig(tmp_path) as made:
        yield made


def happened() -> Counter[str]:
    """What the jobs of `Tallied` have written down, as statistics name it."""
    attempts = Counter(key for key, _ in counted)
    raised = Counter(key for key, how in counted if how == "raised")
    done = sum(how == "done" for _, how in counted)
    failed = sum(times == 2 for times in raised.values())
    return Counter(
        attempts=sum(attempts.values()),
        done=done,
        failed=failed,
        retried=sum(raised.values()) - failed,
    )


def totals(one: Rig) -> Counter[str]:
    found: Counter[str] = Counter()
    for tally in one.observers.statistics.totals.values():
        found.update({"attempts": tally.attempts, **tally.outcomes})
    return found


async def all_points(bus: Bus) -> list[StatPoint]:
    history = await bus.requests.ask(asks.StatsHistory())
    return [point for series in history.series for point in series.points]


async def test_the_numbers_are_those_of_a_ledger(bed: tuple[Rig, Bus]) -> None:
    """1,500 jobs; workers leave, and the scheduler is killed before and after it has folded."""
    one, bus = bed
    outcomes = ["done", "done", "once", "fails"]
    workers = [await one.start_worker("default", concurrency=20) for _ in range(2)]
    for part in range(3):
        jobs = [Tallied(key=f"{part}-{n}", outcome=outcomes[n % 4]) for n in range(500)]
        await bus.bulk(jobs, confirm="stored")
        wanted = Counter({"attempts": 750, "done": 375, "failed": 125, "retried": 250})
        for name in wanted:
            wanted[name] *= part + 1
        await until(lambda all_=wanted["attempts"]: len(counted) == all_)  # type: ignore[misc]
        assert happened() == wanted
        await until(lambda: totals(one) == happened())  # the worker has published it
        if part == 0:
            await one.observers.statistics.fold()
        await one.stop(workers.pop())
        workers.append(await one.start_worker("default", concurrency=20))
        assert one.scheduler is not None
        await one.kill(one.scheduler)
        await one.start_scheduler()
        await until(lambda: totals(one) == happened())
    points = await all_points(bus)
    assert sum(point.attempts for point in points) == 2_250
    assert sum(point.done for point in points) == 1_125
    assert sum(sum(point.run) for point in points) == 2_250
    assert sum(sum(point.wait) for point in points) == 1_500  # of each job its first start only
    for _ in range(2):
        await one.observers.statistics.fold()
    assert sum(point.done for point in await all_points(bus)) == 1_125
    table = await one.scheduler._roles._context.store.database.look(stats_table.totals)  # type: ignore[union-attr]
    assert table[("default", "Tallied")].as_map()["outcomes"] == {
        "done": 1_125, "failed": 375, "retried": 750
    }  # fmt: skip
    assert table[("default", "Tallied")].reasons == {"exception": 375}


async def test_a_fold_that_fails_loses_nothing(
    bed: tuple[Rig, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, bus = bed
    await one.start_worker()
    await bus.dispatch(Tallied(key="a"))
    await until(lambda: totals(one)["done"] == 1)

    def refuse(*args: object) -> dict[object, object]:
        raise StoreUnavailable("full")

    with monkeypatch.context() as patch:
        patch.setattr(stats_table, "fold", refuse)
        with pytest.raises(StoreUnavailable):
            await one.observers.statistics.fold()
    await one.observers.statistics.fold()
    assert sum(point.done for point in await all_points(bus)) == 1
    assert totals(one)["done"] == 1


async def test_the_numbers_of_a_worker_that_left_are_cleared_once_they_are_counted(
    bed: tuple[Rig, Bus],
) -> None:
    one, bus = bed
    worker = await one.start_worker()
    await bus.dispatch(Tallied(key="a"))
    await until(lambda: ("a", "done") in counted)
    await one.stop(worker)
    assert len(await one.retained("routeq/stats/+")) == 1
    await until(lambda: totals(one)["done"] == 1)
    await one.observers.statistics.fold()
    while await one.retained("routeq/stats/+"):
        await asyncio.sleep(0)
    assert isinstance(one.scheduler, Scheduler)
    await one.stop(one.scheduler)
    await one.start_scheduler()
    assert totals(one)["done"] == 1


async def test_what_the_scheduler_decides_is_counted_too(bed: tuple[Rig, Bus]) -> None:
    """A job that expires while no worker is there: no worker can count it."""
    one, bus = bed
    await bus.dispatch(Tallied(key="late"), expires_at=time.time() + 0.05, confirm="stored")
    while not await bus.requests.ask(asks.FailedGroups()):
        await asyncio.sleep(0.001)
    await one.observers.statistics.fold()
    [(pair, tally)] = one.observers.statistics.totals.items()
    assert pair == ("default", "Tallied")
    assert tally.as_map() == {"outcomes": {"failed": 1}, "reasons": {"expired": 1}}


async def test_a_delay_that_was_asked_for_is_no_waiting_time(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker()
    await bus.dispatch(Tallied(key="later"), delay=0.2)
    await bus.dispatch(Tallied(key="now"))
    await until(lambda: totals(one)["done"] == 2)
    tally = one.observers.statistics.totals[("default", "Tallied")]
    assert sum(tally.wait) == 2
    assert tally.wait_seconds < 0.2


async def test_a_queue_says_what_runs_and_since_when(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    gates["g"] = asyncio.Event()
    await one.start_worker("default", concurrency=3)
    await bus.dispatch(Obstructed(key="g"), confirm="stored")
    await bus.dispatch(Tallied(key="x"), queue="nobody", confirm="stored")
    while True:
        await one.observers.numbers.publish()
        found = await one.retained("routeq/queues/+")
        if found["routeq/queues/default"]["running_since"]:
            break
        await asyncio.sleep(0.001)
    default, waiting = found["routeq/queues/default"], found["routeq/queues/nobody"]
    assert (default["running"], default["workers"], default["slots"]) == (1, 1, 3)
    assert default["running_since"] <= default["at"]
    assert (waiting["parked"], waiting["workers"]) == (1, 0)
    assert waiting["oldest_at"] <= waiting["at"]


async def test_workers_and_slots_are_those_of_each_queue(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker("a", concurrency=3)
    await one.start_worker("a", "b", concurrency=4)
    await bus.dispatch(Tallied(key="x"), queue="c", confirm="stored")
    found = await one.observers.numbers.count()
    assert {name: (queue.workers, queue.slots, queue.parked) for name, queue in found.items()} == {
        "a": (2, 7, 0), "b": (1, 4, 0), "c": (0, 0, 1)
    }  # fmt: skip


async def test_an_idle_queue_sends_nothing(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await bus.dispatch(Tallied(key="x"), queue="nobody", confirm="stored")
    await one.observers.numbers.publish()
    before = await one.heard("routeq/queues/+")
    await one.observers.numbers.publish()
    assert await one.heard("routeq/queues/+") == before


@pytest.mark.parametrize("payload", [b"x", b"[]", b'{"jobs": [{"queue": "a/b"}]}', b'{"jobs": 1}'])
async def test_statistics_that_cannot_be_read_change_nothing(
    bed: tuple[Rig, Bus], payload: bytes
) -> None:
    one, _ = bed
    one.observers.statistics.heard("w", "routeq/stats/w", payload)
    assert not one.observers.statistics.totals


def test_numbers_that_go_down_are_not_subtracted() -> None:
    before = Tally(attempts=5, run=[5], run_seconds=2.0)
    before.outcomes["done"] = 5
    after = Tally(attempts=1, run=[1], run_seconds=1.0)
    after.outcomes["done"] = 1
    assert not after.since(before)


def test_a_worker_counts_what_it_says() -> None:
    tally = Tally(attempts=2, run=[1, 1, 0], run_seconds=0.01)
    tally.outcomes["done"] = 2
    said = WorkerStats(tallies={("q", "J"): tally}, since={"q": 1.0})
    read = WorkerStats.decode(said.encode())
    assert read.tallies[("q", "J")].run == [1, 1]
    assert read.tallies[("q", "J")].outcomes["done"] == 2
    assert read.since == {"q": 1.0}


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_percentiles_are_exact_within_one_bucket(share: float) -> None:
    times = sorted((n * 7919 % 10_007) / 1_000 for n in range(10_007))
    buckets = [0] * (len(BOUNDS) + 1)
    for seconds in times:
        buckets[bucket_of(seconds)] += 1
    true = times[int(share * len(times))]
    found = quantile(buckets, share)
    assert found is not None
    assert abs(bucket_of(found) - bucket_of(true)) <= 1


def test_many_durations_are_counted_as_each_of_them_is() -> None:
    durations = [-1.0, 0.0, *BOUNDS, *(bound * 1.01 for bound in BOUNDS), 1e6]
    one_by_one, at_once = [0] * BUCKETS, [0] * BUCKETS
    for seconds in durations:
        one_by_one[bucket_of(seconds)] += 1
    count_in(at_once, sorted(durations))
    count_in(at_once, [])
    assert at_once == one_by_one


async def test_each_job_is_published_though_many_are_counted_at_once(bed: tuple[Rig, Bus]) -> None:
    """Classes in turn, and a job right after a report, when nothing else is to be published."""
    one, bus = bed
    await one.start_worker("default", "other")
    wanted: Counter[tuple[str, str]] = Counter()
    for number in range(60):
        queue = ("default", "other")[number % 2]
        job: Job = Tallied(key=str(number)) if number % 3 else Quick(key=str(number))
        wanted[queue, type(job).__name__] += 1
        await bus.dispatch(job, queue=queue)
        if number % 10 == 0:
            await until(lambda: totals(one)["done"] == wanted.total())
    await until(lambda: totals(one)["done"] == wanted.total())
    found = one.observers.statistics.totals
    assert {pair: tally.outcomes["done"] for pair, tally in found.items()} == wanted
    assert {pair: sum(tally.run) for pair, tally in found.items()} == wanted
    assert {pair: sum(tally.wait) for pair, tally in found.items()} == wanted


def test_histograms_add_up_whatever_their_length() -> None:
    assert added([1, 2], [1, 1, 5]) == [2, 3, 5]
    assert quantile([], 0.5) is None
    assert quantile([0] * 25 + [3], 0.5) == BOUNDS[-1]
