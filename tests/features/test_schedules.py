"""Cron and intervals: ticks without a bus and without waiting, and on both brokers."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import ConfigurationError, Job, every
from routeq_mqtt.job.schedule import Schedule
from routeq_mqtt.scheduler.store import Store
from routeq_mqtt.scheduler.ticker import due_ticks
from routeq_mqtt.scheduler.timetable import Entry, Timetable
from tests.bed.bed import Bed

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
        pass

    every(minutes=5)(every(hours=1, name="two hourly")(TwoSchedules))
    with pytest.raises(ConfigurationError, match="two schedules named 'TwoSchedules'"):
        every(minutes=7)(TwoSchedules)


def test_a_scheduled_job_needs_a_default_for_every_field() -> None:
    class Needy(Job):
        page: int
        size: int = 1

    with pytest.raises(ConfigurationError, match="no value for page; give it a default"):
        every(minutes=5)(Needy)


@pytest.fixture
async def timetable(tmp_path: Path) -> AsyncIterator[Timetable]:
    store = await Store.open(tmp_path / "routeq.db")
    yield Timetable(store.database)
    await store.close()


async def test_announcing_again_moves_no_tick_and_wakes_no_paused_one(timetable: Timetable) -> None:
    hourly = Schedule(name="s", every=3600)
    await timetable.announce([(hourly, b"1")], 0.0)
    await timetable.pause("s")
    await timetable.announce([(hourly, b"2")], 4000.0)
    [found] = await timetable.all()
    assert (found.next_at, found.paused, found.envelope) == (3600.0, True, b"2")
    await timetable.announce([(Schedule(name="s", every=60), b"3")], 4000.0)
    [found] = await timetable.all()
    assert (found.next_at, found.paused) == (4020.0, True)


# -- on a bus --------------------------------------------------------------------------------------


async def test_each_tick_runs_once_over_restarts_of_the_scheduler(bed: Bed) -> None:
    scheduler = await bed.scheduler()
    for _ in range(2):
        await bed.worker("default", *APP)
    await bed.recorder.count("ran", 2)
    await scheduler.kill()
    scheduler = await bed.scheduler()
    await bed.recorder.count("ran", 4)
    await bed.restart_broker(signal.SIGKILL)
    await bed.recorder.count("ran", 6)
    ran = bed.recorder.ran()
    assert set(ran.values()) == {1}
    assert all(float(tick) == int(float(tick)) for tick in ran)
    ids = {event["id"] for event in bed.recorder.named("ran")}
    assert all(job_id.startswith("Pulse@") for job_id in ids)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", ["ticked", "released", "published"])
async def test_a_scheduler_that_dies_at_a_tick_doubles_and_drops_none(
    bed: Bed, step: str, times: int
) -> None:
    succession = await bed.succession(await bed.dying_scheduler(f"{step};{times}"))
    await bed.worker("default", *APP)
    await succession
    await bed.recorder.count("ran", times + 2)
    ran = bed.recorder.ran()
    assert set(ran.values()) == {1}


async def test_schedules_are_listed_run_paused_and_forgotten(bed: Bed) -> None:
    scheduler = await bed.scheduler()
    assert await bed.cli("schedule", "list") == (
        0, "no schedules yet: they become known when a worker that imports them starts"
    )  # fmt: skip
    await scheduler.stop()
    await bed.scheduler("--app", "tests.features.ticking")
    code, shown = await bed.cli("schedule", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(shown)}
    assert (code, list(entries)) == (0, ["Nightly", "Pulse", "yearly"])
    assert entries["Nightly"]["cron"] == "0 3 * * *"
    code, shown = await bed.cli("schedule", "list")
    assert (code, "every 1 s" in shown, "0 3 * * *" in shown) == (0, True, True)
    assert await bed.cli("schedule", "pause", "Pulse") == (0, "Pulse: paused")
    await bed.worker("default", *APP)
    code, job_id = await bed.cli("schedule", "run", "yearly")
    await bed.recorder.wait(lambda: "by hand" in bed.recorder.ran())
    assert job_id in {event["id"] for event in bed.recorder.events}
    async with bed.bus() as bus:
        [pulse] = [e for e in await bus.requests.call("schedule.list") if e["name"] == "Pulse"]
        assert pulse["paused"]
        before = len(bed.recorder.events)
        assert (await bed.cli("schedule", "resume", "Pulse"))[0] == 0
        await bed.recorder.wait(lambda: len(bed.recorder.events) > before)
        assert await bed.cli("schedule", "forget", "Nightly") == (0, "Nightly: forgotten")
        names = [e["name"] for e in await bus.requests.call("schedule.list")]
        assert names == ["Pulse", "yearly"]
    code, said = await bed.cli("schedule", "run", "nothing")
    assert (code, "there are: Pulse, yearly" in said) == (1, True)
