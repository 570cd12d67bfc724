"""Unreadable rows: of a database that is older than a check, damaged, or edited by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt.jobs.schedule import Schedule
from routeq_mqtt.scheduler.intake.schedule_table import ScheduleTable
from routeq_mqtt.scheduler.store.failed_records import expired
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.wire.envelopes.record import FailedRecord
from tests.scheduler.test_store import row


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    one = await Store.open(tmp_path / "routeq.db")
    yield one
    await one.close()


def damage(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / "routeq.db") as db:
        db.execute(statement, values)
    db.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("envelope", 10**12),
        ("envelope", "text"),
        ("envelope", b"no envelope"),
        ("envelope", 1.5),
        ("expires_at", "x"),
        ("run_at", "x"),
        ("expires_at", b"x"),
    ],
)
async def test_a_row_that_nobody_can_read_is_still_a_row(
    store: Store, tmp_path: Path, column: str, value: object
) -> None:
    await store.take([row("bad"), row("good")])
    damage(tmp_path, f"UPDATE jobs SET {column} = ? WHERE id = 'bad'", value)  # noqa: S608
    rows = {one.id: one for one in await store.parked("q", 10)}
    assert set(rows) == {"bad", "good"}
    bad = rows["bad"]
    assert type(bad.envelope) is bytes
    assert bad.expires_at is None or bad.expires_at <= 0
    record = FailedRecord.decode(expired(bad, now=1.0).record)
    assert (record.id, record.job, record.envelope) == ("bad", None, bad.envelope)


@pytest.mark.parametrize(
    "broken", ['{"name": "bad"}', "5", "[", '{"name": "bad", "cron": "x"}', '{"unknown": 1}']
)
async def test_a_schedule_that_nobody_can_read_does_not_stop_the_others(
    store: Store, tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    both = [(Schedule(name=name, every=5.0), b"e") for name in ("bad", "good")]
    await ScheduleTable(store.database).announce(both, 0.0)
    damage(tmp_path, "UPDATE schedules SET schedule = ? WHERE name = 'bad'", broken)
    timetable = ScheduleTable(store.database)
    for _ in range(3):
        assert [entry.schedule.name for entry in await timetable.all()] == ["good"]
    assert caplog.text.count("unreadable") == 1
    due, _ = await timetable.due(100.0, missed=90.0, most=10)
    assert [entry.schedule.name for entry in due] == ["good"]
