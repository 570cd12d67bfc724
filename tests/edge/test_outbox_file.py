"""The outbox's file by itself: room, order, what is set aside, full disks, damaged files."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import (
    Bus,
    ConfigurationError,
    JobHandle,
    OutboxFull,
    OutboxOptions,
    OutboxUnavailable,
)
from routeq_mqtt.bus.outbox.batching import cut
from routeq_mqtt.bus.outbox.forwarder import _Rate
from routeq_mqtt.outbox.file import OutboxFile
from routeq_mqtt.outbox.rows import OutboxJob, OutboxRow
from routeq_mqtt.settings.settings import Settings
from tests.cluster.jobs import Report

Open = Callable[..., OutboxFile]


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[Open]:
    opened = []

    def make(**options: Any) -> OutboxFile:
        file = OutboxFile(OutboxOptions(path=tmp_path / "outbox.db", **options))
        opened.append(file)
        return file

    yield make
    for file in opened:
        file.close()


def job(number: int, size: int = 100, **more: Any) -> OutboxJob:
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "queue": "default",
        "stored": True,
        "delayed": False,
        "expires_at": None,
        "kept_at": float(number),
        "envelope": bytes(size),
    }
    return OutboxJob(**fields | more)


def numbers(file: OutboxFile) -> list[int]:
    return [int(row.id, 16) for row in file.head(1_000_000)]


def test_jobs_come_out_in_the_order_in_which_they_came_in(open_file: Open) -> None:
    file = open_file()
    assert file.add([[job(3), job(1)], [job(2)]]) == [None, None]
    assert numbers(file) == [3, 1, 2]
    assert numbers(open_file()) == [3, 1, 2]
    file.settle(file.head(2), [], 0.0)
    file.add([[job(9)]])
    assert numbers(file) == [2, 9]


def test_a_full_outbox_refuses_and_keeps_what_it_has(open_file: Open) -> None:
    file = open_file(max_jobs=3)
    assert file.add([[job(1), job(2)]]) == [None]
    refused, fits = file.add([[job(3), job(4)], [job(5)]])
    assert isinstance(refused, OutboxFull)
    assert "max_jobs=3" in str(refused)
    assert "drop_oldest" in str(refused)
    assert fits is None
    assert numbers(file) == [1, 2, 5]
    [too_many] = file.add([[job(number) for number in range(4)]])
    assert "more than the whole outbox" in str(too_many)


def test_a_full_outbox_drops_the_oldest_where_that_is_wanted_and_counts_them(
    open_file: Open,
) -> None:
    file = open_file(max_bytes=1_000, when_full="drop_oldest")
    file.add([[job(number) for number in range(10)]])
    file.settle([], [(file.head(1)[0], "refused")], 0.0)
    assert file.add([[job(10, size=250)]]) == [None]
    found = file.status()
    assert numbers(file) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert (found.jobs, found.bytes, found.dropped, found.aside_jobs) == (8, 950, 3, 0)


def test_what_is_set_aside_is_kept_with_its_error_and_comes_back(open_file: Open) -> None:
    file = open_file()
    file.add([[job(1), job(2), job(3)]])
    first, second, third = file.head(3)
    file.settle([first], [(second, "not allowed")], 12.0)
    found = file.status()
    assert [(a.id, a.error, a.at, a.size) for a in found.aside] == [
        (second.id, "not allowed", 12.0, 100)
    ]
    assert numbers(file) == [3]
    assert file.bring_back() == 1
    assert numbers(file) == [3, 2]
    assert file.status().aside_jobs == 0
    assert file.head(1)[0] == third


@pytest.mark.parametrize("seed", range(6))
def test_the_room_is_exact_whatever_was_done(open_file: Open, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - not a secret
    limits = {"max_jobs": 40, "max_bytes": 4_000}
    full = dice.choice(["refuse", "drop_oldest"])
    files = [open_file(**limits, when_full=full) for _ in range(2)]
    for number in range(150):
        file = dice.choice(files)
        if dice.random() < 0.7:
            before = file.status()
            size = dice.randrange(1, 300)
            [refusal] = file.add([[job(number, size)]])
            over = (
                before.jobs + before.aside_jobs >= 40
                or before.bytes + sum(a.size for a in before.aside) + size > 4_000
            )
            assert (refusal is not None) == (over and full == "refuse")
        elif rows := file.head(8):
            dice.shuffle(rows)
            cuts = sorted(dice.randrange(len(rows) + 1) for _ in range(2))
            if cuts[1]:
                refused = [(row, "no") for row in rows[cuts[0] : cuts[1]]]
                file.settle(rows[: cuts[0]], refused, 0.0)
        after = file.status()
        assert after.jobs + after.aside_jobs <= 40
        assert after.bytes + sum(a.size for a in after.aside) <= 4_000


def test_a_number_that_is_used_again_deletes_no_other_job(open_file: Open) -> None:
    file = open_file(max_jobs=1, when_full="drop_oldest")
    file.add([[job(1)]])
    in_flight = file.head(1)
    file.add([[job(2)]])  # drops the first, which was being sent, and takes its number
    file.settle(in_flight, [], 0.0)
    assert numbers(file) == [2]


def test_a_full_disk_is_an_error_and_what_is_there_stays(open_file: Open) -> None:
    file = open_file()
    file.add([[job(1)]])
    pages = file._db.execute("PRAGMA page_count").fetchone()[0]
    file._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(OutboxUnavailable, match="full"):
        file.add([[job(2, size=100_000)]])
    assert numbers(file) == [1]
    file.add([[job(3)]])
    assert numbers(file) == [1, 3]


async def test_on_a_full_disk_only_the_dispatches_that_do_not_fit_fail(tmp_path: Path) -> None:
    bus = Bus(settings=Settings(url="mqtt://127.0.0.1:1"), outbox=tmp_path / "outbox.db")
    await bus.dispatch(Report(key="before"))
    assert bus.outgoing is not None
    file = await bus.outgoing.outbox.open()
    pages = file._db.execute("PRAGMA page_count").fetchone()[0]
    file._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    results = await asyncio.gather(
        bus.dispatch(Report(key="x" * 100_000)),
        bus.dispatch(Report(key="small")),
        return_exceptions=True,
    )
    assert isinstance(results[0], OutboxUnavailable)
    assert isinstance(results[1], JobHandle)
    assert (await bus.outgoing.outbox.status()).jobs == 2
    await bus.close()


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(content)
    with pytest.raises(OutboxUnavailable, match="move it away"):
        OutboxFile(OutboxOptions(path=path))
    assert path.read_bytes() == content


def test_a_later_version_and_a_missing_folder_are_refused(tmp_path: Path, open_file: Open) -> None:
    with pytest.raises(ConfigurationError, match="make it first"):
        OutboxFile(OutboxOptions(path=tmp_path / "none" / "outbox.db"))
    open_file()
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match="version 99"):
        open_file()


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder"):
        OutboxFile(OutboxOptions(path=tmp_path))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("confirm", "maybe"),
        ("when_full", "explode"),
        ("max_jobs", 0),
        ("max_bytes", -1),
        ("commit_delay", -0.1),
        ("max_rate", 0),
        ("linger", float("inf")),
        ("max_rate", float("inf")),
        ("max_rate", "20"),
        ("max_jobs", "7"),
        ("max_jobs", 1.5),
        ("max_bytes", True),
        ("path", ""),
        ("path", None),
    ],
)
def test_a_wrong_option_names_itself(option: str, value: object) -> None:
    options: dict[str, Any] = {"path": "outbox.db", option: value}
    with pytest.raises(ConfigurationError, match=re.escape(f"outbox: {option}={value!r} ")):
        OutboxOptions(**options)


def test_settings_come_from_the_environment() -> None:
    env = {
        "ROUTEQ_OUTBOX": "o.db",
        "ROUTEQ_OUTBOX_MAX_JOBS": "7",
        "ROUTEQ_OUTBOX_WHEN_FULL": "drop_oldest",
        "ROUTEQ_OUTBOX_COMMIT_DELAY": "0.5",
        "ROUTEQ_OUTBOX_MAX_RATE": "20",
        "ROUTEQ_OUTBOX_CONFIRM": "broker",
    }
    assert Settings.from_environment(env).outbox_options() == OutboxOptions(
        path=Path("o.db"),
        max_jobs=7,
        when_full="drop_oldest",
        commit_delay=0.5,
        max_rate=20.0,
        confirm="broker",
    )
    assert Settings.from_environment({}).outbox_options() is None
    with pytest.raises(ConfigurationError, match="COMMIT_DELAY"):
        Settings.from_environment({"ROUTEQ_OUTBOX": "x", "ROUTEQ_OUTBOX_COMMIT_DELAY": "-1"})


def row(number: int, **more: Any) -> OutboxRow:
    made = job(number, **more)
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return OutboxRow(**fields, seq=number)


def test_parcels_keep_the_order_and_join_neighbours_of_one_queue() -> None:
    rows = [
        row(1),
        row(2),
        row(3, queue="other"),
        row(4, stored=False),
        row(5, stored=False, delayed=True),
        row(6, expires_at=10.0),
        row(7, size=60_000),
        row(8, size=60_000),
        row(9),
    ]
    parcels = list(cut(rows, now=10.0))
    assert [(p.way, [r.seq for r in p.rows]) for p in parcels] == [
        ("store", [1, 2]),
        ("store", [3]),
        ("queue", [4]),
        ("schedule", [5]),
        ("expired", [6]),
        ("store", [7]),
        ("store", [8, 9]),
    ]


class Time:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


async def test_a_rate_lets_so_many_go_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time()

    async def sleep(seconds: float) -> None:
        clock.at += seconds

    monkeypatch.setattr("routeq_mqtt.bus.outbox.forwarder.asyncio.sleep", sleep)
    rate = _Rate(20.0, clock)
    sent = 0
    while clock.at < 10.0:
        room = await rate.room(100)
        assert 1 <= room <= 2
        rate.spend(room)
        sent += room
    assert 195 <= sent <= 205
    assert await _Rate(None, clock).room(100) == 100
