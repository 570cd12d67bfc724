"""``routeq-mqtt db``: copies of a database that is in use, and what a check finds."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from routeq_mqtt import ConfigurationError
from routeq_mqtt.cli import make_app
from routeq_mqtt.scheduler.store.files.backup import back_up
from routeq_mqtt.scheduler.store.files.check import check
from routeq_mqtt.scheduler.store.lock import FileLock
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.store import Store

_ROWS = 2_000


def row(number: int) -> tuple[Any, ...]:
    return (f"job-{number}", "default", 1, 0, "parked", 0.0, number, 0, b"x" * 1_000)


ADD = (
    "INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, envelope) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@pytest.fixture
async def db(tmp_path: Path) -> Path:
    """A database of some megabytes that no scheduler uses now."""
    path = tmp_path / "routeq.db"
    store = await Store.open(path)
    await store.database.write(ADD, [row(number) for number in range(_ROWS)])
    await store.close()
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(*arguments: str) -> tuple[int, str]:
    """Exit code, and all that was said."""
    done = CliRunner().invoke(make_app(), ["db", *arguments])
    return done.exit_code, done.output


def test_a_backup_that_did_not_reach_the_disk_is_none(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier one stays."""
    back_up(db, tmp_path / "copy.db", lambda copied, pages: None)
    before = (tmp_path / "copy.db").stat().st_ino

    def failing(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StoreUnavailable, match=r"could not be copied to .*Input/output error"):
        back_up(db, tmp_path / "copy.db", lambda copied, pages: None)
    assert (tmp_path / "copy.db").stat().st_ino == before
    assert names(tmp_path) == ["copy.db", "routeq.db", "routeq.db.lock"]


def test_a_backup_is_of_one_moment_though_commits_go_on(db: Path, tmp_path: Path) -> None:
    """SQLite begins again when another process has written; with our own snapshot it does not."""
    steps: list[int] = []
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("SELECT count(*) FROM jobs").fetchone()

        def progress(copied: int, pages: int) -> None:
            steps.append(copied)
            other.execute(ADD, row(_ROWS + len(steps)))

        done = back_up(db, tmp_path / "copy.db", progress)
    assert steps == sorted(set(steps)), "each part once"
    assert 1 < len(steps) <= 60
    assert done.bytes == (tmp_path / "copy.db").stat().st_size
    assert check(tmp_path / "copy.db").states == {"parked": _ROWS}
    assert check(db).states == {"parked": _ROWS + len(steps)}
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_a_scheduler_opens_meanwhile_is_read_again(db: Path, tmp_path: Path) -> None:
    """Until then it was read as one that does not change."""
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        added: list[int] = []

        def progress(copied: int, pages: int) -> None:
            if not added:
                added.append(_ROWS)
                other.execute(ADD, row(_ROWS))

        back_up(db, copy, progress)
    assert check(copy).states == {"parked": _ROWS + 1}


async def test_a_backup_can_be_used_and_replaces_the_one_before(db: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert run("backup", "--db", str(db), str(copy))[0] == 0
    store = await Store.open(db)
    await store.database.write(ADD, [row(_ROWS)])
    code, said = run("backup", "--db", str(db), "--json", str(copy))
    assert (code, json.loads(said)["to"]) == (0, str(copy))
    await store.close()
    assert names(tmp_path) == ["copy.db", "routeq.db", "routeq.db.lock"]
    restored = await Store.open(copy)
    assert (await restored.get(f"job-{_ROWS}")).state == "parked"  # type: ignore[union-attr]
    await restored.close()


def test_a_copy_that_fails_leaves_the_backup_before_it(db: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(db, copy, lambda copied, pages: None)
    before = copy.read_bytes()

    def full(copied: int, pages: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(StoreUnavailable, match="disk is full"):
        back_up(db, copy, full)
    assert copy.read_bytes() == before
    assert not (tmp_path / "copy.db.part").exists()


def test_what_is_no_place_for_a_backup_is_refused(db: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    used = tmp_path / "used.db"
    back_up(db, used, lambda copied, pages: None)
    held = FileLock(used)
    for to, why in {
        tmp_path: f"name the file: {tmp_path / 'routeq.db'}",
        tmp_path / "no" / "copy.db": "make it first",
        db: "is the database itself",
        tmp_path / "notes.txt": "is not a backup of a scheduler's database",
        used: "is in use by a scheduler",
    }.items():
        code, said = run("backup", "--db", str(db), str(to))
        assert (code, why in said) == (4, True), said
    held.release()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_may_not_be_written_is_named(db: Path) -> None:
    with pytest.raises(ConfigurationError, match="/proc: this user may not write there"):
        back_up(db, Path("/proc/copy.db"), lambda copied, pages: None)


def make(path: Path, *tables: str) -> Path:
    with closing(sqlite3.connect(path)) as db:
        for table in tables:
            db.execute(f"CREATE TABLE {table} (x)")
    return path


@pytest.mark.parametrize("command", ["check", "backup"])
def test_what_is_no_database_of_a_scheduler_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be read as the head of one" * 9)
    (tmp_path / "empty").touch()
    for path, why in {
        tmp_path / "missing": "is missing",
        tmp_path: "is a folder",
        tmp_path / "text": "file is not a database",
        tmp_path / "empty": "no scheduler has used it",
        make(tmp_path / "broker.db", "entries", "sessions", "retained"): "of the embedded broker",
        make(tmp_path / "outbox.db", "jobs", "aside", "meta"): "that of an outbox",
        make(tmp_path / "other.db", "songs"): "it has the tables songs",
    }.items():
        to = [str(tmp_path / "copy.db")] if command == "backup" else []
        code, said = run(command, "--db", str(path), *to)
        assert (code, why in said) == (4, True), said
    assert not (tmp_path / "copy.db").exists()


async def test_a_check_says_what_is_there_and_leaves_nothing_behind(
    db: Path, tmp_path: Path
) -> None:
    before = names(tmp_path)
    code, said = run("check", "--db", str(db), "--json")
    assert code == 0
    found = json.loads(said)
    assert found["ok"]
    assert found["states"] == {"parked": _ROWS}
    assert (found["schema"], found["epoch"], found["held_by"]) == (len(MIGRATIONS), 0, None)
    assert names(tmp_path) == before
    store = await Store.open(db)
    assert store.database.lineage == found["lineage"]
    assert "used by" in run("check", "--db", str(db))[1]
    assert check(db).held_by is not None
    await store.close()


def test_a_check_finds_damage_wrong_counters_and_a_later_version(db: Path) -> None:
    with closing(sqlite3.connect(db)) as other:
        other.execute("UPDATE counts SET n = n + 1")
        other.commit()
    code, said = run("check", "--db", str(db))
    assert (code, f"has {_ROWS} rows in state parked, its counter says {_ROWS + 1}" in said) == (
        1, True,
    )  # fmt: skip
    with closing(sqlite3.connect(db)) as other:
        other.execute("PRAGMA user_version = 9000")
    [problem] = check(db).problems
    assert "of version 9000" in problem
    with closing(sqlite3.connect(db)) as other:
        other.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    with db.open("r+b") as file:
        file.seek(200 * 4096)
        file.write(b"\xff" * 40_960)
    assert run("check", "--db", str(db))[0] == 1
    assert check(db).problems
