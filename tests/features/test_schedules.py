"""Cron and intervals: ticks without a bus and without waiting, and on both brokers."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, ConfigurationError, Job, every
from routeq_mqtt.jobs.schedule import Schedule
from routeq_mqtt.scheduler.intake.schedule_table import Entry, ScheduleTable
from routeq_mqtt.scheduler.intake.schedules import due_ticks
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.cluster.cluster import Cluster

APP = ("--app", "tests.features.ticking")


def epoch(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


def entry(next_at: float, **how: Any) -> Entry:
    schedule = Schedule(name="s", **how)
    return Entry(schedule=schedule, envelope=b"", next_at=next_at, last_at=None, paused=False)


# -- ticks -----------------------------------------------------------------------------------------


def test_an_interval_ticks_at_whole_multiples() -> None:
    schedule = Schedule(name="s", every=300)
    assert [schedule.after(at) for at in (0, 299.9, 300, 301)] == [300, 300, 600, 600]
    assert list(islice(schedule.before(601), 3)) == [600, 300, 0]
    assert next(schedule.before(600)) == 600


def test_a_cron_expression_follows_its_time_zone_through_daylight_saving() -> None:
    schedule = Schedule(name="s", cron="0 3 * * *", timezone="Europe/Berlin")
    winter, summer = epoch(2026, 3, 28, 2), epoch(2026, 3, 29, 1)
    assert schedule.after(epoch(2026, 3, 28, 0)) == winter
    assert schedule.after(winter) == summer  # 23 hours later
    assert list(islice(schedule.before(summer), 2)) == [summer, winter]
    assert next(schedule.before(summer - 1)) == winter


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_the_days_of_the_clock_change_have_their_ticks_whatever_was_missed(missed: str) -> None:
    """Of 2026, Europe/Berlin: the time that does not exist, and the hour that exists twice."""
    spring, autumn = epoch(2026, 3, 29, 1), epoch(2026, 10, 25, 0, 30)
    for tick, cron in ((spring, "30 2 * * *"), (autumn, "30 2 * * *")):
        daily = {"cron": cron, "timezone": "Europe/Berlin", "missed": missed}
        one = entry(tick, **daily)
        assert one.schedule.after(tick - 3600) == tick
        assert one.schedule.after(tick) > tick + 22 * 3600  # not again in the second hour
        assert due_ticks(one, tick + 1)[0] == [tick]
        assert due_ticks(one, tick + 4 * 3600)[0] == ([] if missed == "skip" else [tick])
    each_hour = {"cron": "0 * * * *", "timezone": "Europe/Berlin", "missed": missed}
    for first in (epoch(2026, 3, 28, 23), epoch(2026, 10, 24, 23)):
        hours = [first + hour * 3600 for hour in range(6)]
        made_up, following = due_ticks(entry(first, **each_hour), hours[-1] + 1)
        assert (made_up, following) == (hours if missed == "all" else hours[-1:], first + 6 * 3600)


@pytest.mark.parametrize(
    ("missed", "ticks"), [("all", [60, 120, 180, 240]), ("once", [240]), ("skip", [])]
)
def test_what_becomes_of_missed_ticks(missed: str, ticks: list[float]) -> None:
    assert due_ticks(entry(60, every=60, missed=missed), 290.0) == (ticks, 300)
    assert due_ticks(entry(60, every=60, missed=missed), 60.5) == ([60], 120)
    # A year without a scheduler.
    late = entry(60, cron="* * * * *", missed=missed)
    made_up, following = due_ticks(late, 365 * 86_400.0 + 30)
    assert len(made_up) == {"all": 1000, "once": 1, "skip": 0}[missed]
    assert following == 365 * 86_400 + 60


def test_what_came_due_while_the_scheduler_was_busy_was_not_missed() -> None:
    daily = entry(86_400.0, every=86_400, missed="skip")
    assert due_ticks(daily, 86_417.0)[0] == []
    assert due_ticks(daily, 86_417.0, (86_399.0, 86_417.0))[0] == [86_400.0]
    assert due_ticks(daily, 86_417.0, (86_401.0, 86_417.0))[0] == []  # before that pass
    # The machine slept: no scheduler ran.
    assert due_ticks(daily, 90_000.0, (86_399.0, 86_399.5))[0] == []


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"every": 0.5}, "every=0.5 must be 1 second to 100 years"),
        ({"every": 5, "cron": "* * * * *"}, "say either every or cron"),
        ({}, "say either every or cron"),
        ({"cron": "61 * * * *"}, "cron='61"),
        ({"cron": "0 3 * * *", "timezone": "Mars/Base"}, "timezone='Mars/Base' is unknown"),
        ({"every": 5, "missed": "perhaps"}, "missed='perhaps'"),
    ],
)
def test_a_wrong_schedule_is_refused_where_it_is_written(how: Any, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        Schedule(name="s", **how)


def test_two_schedules_of_one_class_need_two_names() -> None:
    class TwoSchedules(Job):
        async def handle(self) -> None: ...

    every(minutes=5)(every(hours=1, name="two hourly")(TwoSchedules))
    with pytest.raises(ConfigurationError, match="two schedules named 'TwoSchedules'"):
        every(minutes=7)(TwoSchedules)


def test_a_scheduled_job_needs_a_default_for_every_field() -> None:
    class Needy(Job):
        page: int
        size: int = 1

        async def handle(self) -> None: ...

    with pytest.raises(ConfigurationError, match="no value for page; give it a default"):
        every(minutes=5)(Needy)


@pytest.fixture
async def timetable(tmp_path: Path) -> AsyncIterator[ScheduleTable]:
    store = await Store.open(tmp_path / "routeq.db")
    yield ScheduleTable(store.database)
    await store.close()


async def test_what_is_due_comes_in_turn_and_what_was_missed_behind_it(
    timetable: ScheduleTable,
) -> None:
    """As a model that looks at all of them each time says, whatever happens to them."""
    rng = random.Random(18)  # noqa: S311 - repeatable
    model: dict[str, tuple[float, bool]] = {}
    names = [f"s{number}" for number in range(40)]
    for step in range(300):
        name, at = rng.choice(names), float(rng.randrange(1_000))
        what = rng.choice(["announce", "tick", "pause", "resume", "forget", "look", "look"])
        if what == "announce":
            every = rng.choice([3600, 7200])
            await timetable.announce([(Schedule(name=name, every=every), b"e")], at)
            [found] = [one for one in await ScheduleTable(timetable._db).all() if _named(one, name)]
            model[name] = (found.next_at, found.paused)
        elif what == "tick":
            await timetable.ticked(name, next_at=at, last_at=None)
            _change(model, name, at=at)
        elif what == "pause":
            assert await timetable.pause(name) == (name in model)
            _change(model, name, paused=True)
        elif what == "resume":
            assert await timetable.resume(name, at) == (name in model)
            _change(model, name, at=at, paused=False)
        elif what == "forget":
            assert await timetable.forget(name) == (model.pop(name, None) is not None)
        if step % 3 == 0:
            await _compare(timetable, model, rng)
    assert {one.schedule.name for one in await timetable.all()} == set(model)


def _change(
    model: dict[str, tuple[float, bool]],
    name: str,
    *,
    at: float | None = None,
    paused: bool | None = None,
) -> None:
    if name in model:
        was_at, was_paused = model[name]
        model[name] = (
            was_at if at is None else at,
            was_paused if paused is None else paused,
        )


async def _compare(
    timetable: ScheduleTable, model: dict[str, tuple[float, bool]], rng: random.Random
) -> None:
    now, most = float(rng.randrange(8_000)), rng.choice([1, 3, 100])
    due, later = await timetable.due(now, missed=now - 100, most=most)
    going_on = sorted((at, name) for name, (at, paused) in model.items() if not paused)
    wanted = [one for one in going_on if one[0] <= now]
    wanted.sort(key=lambda one: (now - one[0] > 100, one))
    assert [(one.next_at, one.schedule.name) for one in due] == wanted[:most]
    rest = [at for at, _ in going_on if at > now]
    assert later == (now if len(wanted) > most else rest[0] if rest else None)


def _named(entry: Entry, name: str) -> bool:
    return entry.schedule.name == name


async def test_after_a_write_that_failed_schedules_are_read_again(
    timetable: ScheduleTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been committed all the same."""
    await timetable.announce([(Schedule(name="s", every=3600), b"1")], 0.0)
    database = timetable._db
    write = database.write

    async def fails(statement: str, values: Any) -> int:
        await write(statement, values)
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(database, "write", fails)
    with pytest.raises(StoreUnavailable):
        await timetable.ticked("s", next_at=7200.0, last_at=3600.0)
    monkeypatch.undo()
    due, later = await timetable.due(3700.0, missed=0.0, most=10)
    assert (due, later) == ([], 7200.0)


async def test_announcing_again_moves_no_tick_and_wakes_no_paused_one(
    timetable: ScheduleTable,
) -> None:
    hourly = Schedule(name="s", every=3600)
    await timetable.announce([(hourly, b"1")], 0.0)
    await timetable.pause("s")
    await timetable.announce([(hourly, b"2")], 4000.0)
    [found] = await timetable.all()
    assert (found.next_at, found.paused, found.envelope) == (3600.0, True, b"2")
    await timetable.announce([(Schedule(name="s", every=60), b"3")], 4000.0)
    [found] = await timetable.all()
    assert (found.next_at, found.paused) == (4020.0, True)


async def test_a_schedule_that_takes_another_s_name_is_reported(timetable: ScheduleTable) -> None:
    hourly, daily = Schedule(name="s", every=3600), Schedule(name="s", every=86_400)
    assert await timetable.announce([(hourly, b"1")], 0.0) == []
    assert await timetable.announce([(hourly, b"2")], 0.0) == []
    assert await timetable.announce([(daily, b"3")], 0.0) == [(hourly, daily)]


# -- on a bus --------------------------------------------------------------------------------------


async def test_each_tick_runs_once_over_restarts_of_the_scheduler(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    for _ in range(2):
        await cluster.worker("default", *APP)
    await cluster.recorder.count("ran", 2)
    await scheduler.kill()
    scheduler = await cluster.scheduler()
    await cluster.recorder.count("ran", 4)
    await cluster.restart_broker(signal.SIGKILL)
    await cluster.recorder.count("ran", 6)
    ran = cluster.recorder.ran()
    assert set(ran.values()) == {1}
    assert all(float(tick) == int(float(tick)) for tick in ran)
    ids = {event["id"] for event in cluster.recorder.named("ran")}
    assert all(job_id.startswith("Pulse@") for job_id in ids)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", ["ticked", "released", "published"])
async def test_a_scheduler_that_dies_at_a_tick_doubles_and_drops_none(
    cluster: Cluster, step: str, times: int
) -> None:
    succession = await cluster.succession(await cluster.dying_scheduler(f"{step};{times}"))
    await cluster.worker("default", *APP)
    await succession
    await cluster.recorder.count("ran", times + 2)
    ran = cluster.recorder.ran()
    assert set(ran.values()) == {1}


async def test_schedules_are_listed_run_paused_and_forgotten(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    assert await cluster.cli("schedule", "list") == (
        0, "no schedules yet: they become known when a worker that imports them starts"
    )  # fmt: skip
    await scheduler.stop()
    await cluster.scheduler("--app", "tests.features.ticking")
    code, shown = await cluster.cli("schedule", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(shown)}
    assert (code, list(entries)) == (0, ["Nightly", "Pulse", "yearly"])
    assert entries["Nightly"]["cron"] == "0 3 * * *"
    code, shown = await cluster.cli("schedule", "list")
    assert (code, "every 1 s" in shown, "0 3 * * *" in shown) == (0, True, True)
    assert await cluster.cli("schedule", "pause", "Pulse") == (0, "Pulse: paused")
    await cluster.worker("default", *APP)
    code, job_id = await cluster.cli("schedule", "run", "yearly")
    await cluster.recorder.wait(lambda: "by hand" in cluster.recorder.ran())
    assert job_id in {event["id"] for event in cluster.recorder.events}
    async with cluster.bus() as bus:
        [pulse] = [e for e in await bus.requests.call("schedule.list") if e["name"] == "Pulse"]
        assert pulse["paused"]
        before = len(cluster.recorder.events)
        assert (await cluster.cli("schedule", "resume", "Pulse"))[0] == 0
        await cluster.recorder.wait(lambda: len(cluster.recorder.events) > before)
        assert await cluster.cli("schedule", "forget", "Nightly") == (0, "Nightly: forgotten")
        names = [e["name"] for e in await bus.requests.call("schedule.list")]
        assert names == ["Pulse", "yearly"]
    code, said = await cluster.cli("schedule", "run", "nothing")
    assert (code, "there are: Pulse, yearly" in said) == (1, True)


@pytest.mark.parametrize("step", [None, "ticked;3"])
async def test_a_schedule_that_makes_up_for_ticks_keeps_no_other_one_waiting(
    cluster: Cluster, step: str | None
) -> None:
    """A thousand ticks to make up for; the other one is due, and skips what it missed."""
    store = await Store.open(cluster.folder / "routeq.db")
    timetable, now = ScheduleTable(store.database), time.time()
    for name, kind, missed, next_at in (
        ("busy", "Pulse", "all", now - 5_000),
        ("calm", "Rare", "skip", now - 1),
    ):
        schedule = Schedule(name=name, every=1 if name == "busy" else 2, missed=missed)  # type: ignore[arg-type]
        envelope = Envelope(job=kind, dispatched_at=now).encode()
        await timetable.announce([(schedule, envelope)], now)
        await timetable.ticked(name, next_at=next_at, last_at=None)
    await store.close()
    if step is None:
        await cluster.scheduler()
    else:
        succession = await cluster.succession(await cluster.dying_scheduler(step))
        await succession
    await cluster.worker("default", *APP)
    await cluster.recorder.wait(lambda: "by hand" in cluster.recorder.ran())
    ours = {"busy", "calm"}
    async with cluster.bus() as bus:
        rows = await cluster.ask_until(
            bus, "schedule.list",
            lambda rows: all(row["next_at"] > now for row in rows if row["name"] in ours)
        )  # fmt: skip
    assert {row["name"]: row["declared"] for row in rows}["busy"] is False
    calm = [event for event in cluster.recorder.named("ran") if event["id"].startswith("calm@")]
    made_up = [event for event in cluster.recorder.named("ran") if event["id"].startswith("busy@")]
    assert calm
    assert len({event["id"] for event in made_up}) == len(made_up)


async def test_a_limited_job_that_still_waits_lets_no_other_tick_wait_behind_it(
    cluster: Cluster,
) -> None:
    await cluster.scheduler("--app", "tests.features.overlapping")
    await cluster.worker("default", "--app", "tests.features.overlapping")
    await cluster.recorder.count("waits", 1)
    async with cluster.bus() as bus:
        first = await _last_at(bus)
        await cluster.ask_until(bus, "sizes", lambda sizes: sizes["default"]["limited"] == 1)
        while await _next_at(bus) < first + 4:
            await asyncio.sleep(0.1)
        assert (await bus.requests.call("sizes"))["default"]["limited"] == 1
    cluster.recorder.open("go")
    await cluster.recorder.count("ran", 3)


async def _last_at(bus: Bus) -> float:
    return float((await bus.requests.call("schedule.list"))[0]["last_at"])


async def _next_at(bus: Bus) -> float:
    return float((await bus.requests.call("schedule.list"))[0]["next_at"])
