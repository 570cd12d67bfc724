"""An outbox whose file is deleted, moved or replaced, on a small disk, and named relatively."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, OutboxFull, OutboxOptions, OutboxUnavailable, SyncBus
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.outbox.forking import close_in_forks, leave_in_forks, open_places
from routeq_mqtt.outbox.living import LivingFile
from routeq_mqtt.outbox.outbox import Outbox
from routeq_mqtt.outbox.place import Place
from routeq_mqtt.processlock import ProcessLock
from routeq_mqtt.settings.settings import Settings
from tests.cluster.jobs import Report
from tests.edge.disks import fill, small_disk, taken
from tests.edge.test_outbox_file import job

Open = Callable[..., LivingFile]


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[Open]:
    opened = []

    def make(**options: Any) -> LivingFile:
        given = {"path": tmp_path / "outbox.db"} | options
        file = LivingFile(OutboxOptions(**given))
        opened.append(file)
        return file

    yield make
    for file in opened:
        file.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4) as folder:
        yield folder


def numbers(file: LivingFile) -> list[int]:
    return [int(row.id, 16) for row in file.head(1_000_000)]


def delete(folder: Path) -> None:
    for file in sorted(folder.glob("outbox.db*")):
        file.unlink()


def move(folder: Path) -> None:
    (folder / "outbox.db").rename(folder / "elsewhere.db")


def replace(folder: Path) -> None:
    other = LivingFile(OutboxOptions(path=folder / "new.db"))
    other.add([[job(50), job(2)]])  # one of them is in the old file, too
    other.close()
    (folder / "new.db").replace(folder / "outbox.db")


def lose_the_log(folder: Path) -> None:
    (folder / "outbox.db-wal").unlink()


def lose_the_index(folder: Path) -> None:
    (folder / "outbox.db-shm").unlink()


def damage(path: Path) -> None:
    for file in (path, Path(f"{path}-wal")):
        with file.open("r+b") as opened:
            opened.write(b"\xff" * file.stat().st_size)


# -- a relative path -------------------------------------------------------------------------------


def test_a_relative_path_is_that_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = OutboxOptions(path=Path("outbox.db"))
    bus = Bus(outbox="outbox.db")
    sync = SyncBus("mqtt://127.0.0.1:1", outbox=OutboxOptions(path="sync.db", linger=0))  # type: ignore[arg-type]
    named = Settings(outbox="named.db").outbox_options()
    monkeypatch.chdir("/")
    sync.dispatch(Report(key="x"))
    sync.close()
    assert (tmp_path / "sync.db").exists()
    assert options.path == tmp_path / "outbox.db"
    assert bus.outbox_options == options
    assert Settings(outbox="named.db").outbox_options() == named


# -- news ------------------------------------------------------------------------------------------


def test_what_another_process_keeps_is_seen_whatever_the_stamps_say(open_file: Open) -> None:
    reader, writer = open_file(), open_file()
    path = reader.current()._options.path
    writer.add([[job(1)]])
    assert numbers(reader) == [1]
    assert not reader.changed()
    files = [path, Path(f"{path}-wal")]
    before = [file.stat() for file in files]
    writer.add([[job(2)]])
    for file, stamps in zip(files, before, strict=True):
        os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert reader.changed()
    assert numbers(reader) == [1, 2]
    assert not reader.changed()


async def test_waiting_for_news_ends_when_the_lock_is_lost(tmp_path: Path) -> None:
    outbox = Outbox(OutboxOptions(path=tmp_path / "outbox.db"), SystemClock())
    await outbox.open()
    assert outbox.lock.take()
    assert await outbox.head(1) == []
    outbox.lock.path.unlink()
    await outbox.more()
    assert not outbox.lock.is_ours()
    await outbox.close()


# -- the file goes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", [delete, move, lose_the_log, lose_the_index])
def test_no_job_is_accepted_into_a_file_that_nobody_will_read(
    open_file: Open, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    first, second = open_file(), open_file()
    first.add([[job(1), job(2)]])
    spoil(tmp_path)
    assert first.add([[job(3)]]) == [None]
    assert numbers(open_file()) == [1, 2, 3]
    assert second.add([[job(4)]]) == [None]  # its own jobs only: the others went before
    assert numbers(open_file()) == numbers(first) == numbers(second) == [1, 2, 3, 4]


def test_jobs_move_into_a_file_that_took_the_place(open_file: Open, tmp_path: Path) -> None:
    file = open_file()
    file.add([[job(1), job(2), job(3)]])
    file.settle([], [(file.head(1)[0], "refused")], 0.0)
    replace(tmp_path)
    assert numbers(file) == [50, 2, 3]
    assert file.current().status().aside_jobs == 1
    assert file.current().bring_back() == 1
    assert sorted(numbers(open_file())) == [1, 2, 3, 50]


def test_a_file_that_goes_between_reading_and_deleting_doubles_nothing(
    open_file: Open, tmp_path: Path
) -> None:
    sender, other = open_file(), open_file()
    sender.add([[job(number) for number in range(6)]])
    in_flight = sender.head(4)
    delete(tmp_path)
    other.add([[job(9)]])
    sender.settle(in_flight[:3], [(in_flight[3], "refused")], 0.0)
    assert numbers(open_file()) == [3, 4, 5, 9]


def test_a_file_that_goes_in_the_middle_of_a_commit(
    open_file: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file()
    file.add([[job(1)]])
    inner = file.current().add

    def add(puts: Any) -> Any:
        delete(tmp_path)
        return inner(puts)

    monkeypatch.setattr(file.current(), "add", add)
    assert file.add([[job(2)]]) == [None]
    assert numbers(open_file()) == [1, 2]


def test_a_folder_that_goes_is_an_error_and_its_jobs_are_there_again_with_it(
    open_file: Open, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = open_file(path=folder / "outbox.db")
    file.add([[job(1)]])
    shutil.rmtree(folder)
    with pytest.raises(OutboxUnavailable, match="make it first"):
        file.add([[job(2)]])
    with pytest.raises(OutboxUnavailable, match="make it first"):
        file.head(1)
    folder.mkdir()
    file.add([[job(3)]])
    assert numbers(open_file(path=folder / "outbox.db")) == [1, 3]


async def test_a_damaged_file_that_is_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    options = OutboxOptions(path=path, linger=0)
    async with Bus("mqtt://127.0.0.1:1", outbox=options) as bus:
        await bus.dispatch(Report(key="before"))
        other = LivingFile(options)
        other.add([[job(1)]])  # the bus must read again what it knew
        damage(path)
        with pytest.raises(OutboxUnavailable, match=r"damaged.* move it away"):
            await bus.dispatch(Report(key="lost"))
        path.rename(tmp_path / "damaged.db")
        await bus.dispatch(Report(key="after"))
        assert bus.outgoing is not None
        assert (await bus.outgoing.outbox.status()).jobs == 1
    other.close()


def test_a_lock_whose_file_is_gone_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    ours, theirs = ProcessLock(path), ProcessLock(path)
    assert ours.take()
    assert not theirs.take()
    path.unlink()
    assert theirs.take()
    assert not ours.is_ours()
    assert not ours.take()
    theirs.release()
    assert ours.take()
    ours.release()


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o660, 0o660), (0o644, 0o600)])
def test_who_may_write_the_outbox_may_take_its_lock(
    tmp_path: Path, mode: int, expected: int
) -> None:
    file = tmp_path / "outbox.db"
    file.touch()
    file.chmod(mode)
    lock = ProcessLock(tmp_path / "lock", beside=file)
    assert lock.take()
    assert lock.path.stat().st_mode & 0o777 == expected
    lock.release()
    lock.path.chmod(0o600)  # as an earlier version made it
    assert lock.take()
    assert lock.path.stat().st_mode & 0o777 == expected
    lock.release()


# -- small disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 1_000, 2_100, 20_000])
def test_max_bytes_is_what_the_disk_has_to_give(open_file: Open, disk: Path, size: int) -> None:
    most = 1 << 20
    file = open_file(path=disk / "outbox.db", max_bytes=most, when_full="drop_oldest")
    jobs = 2_500_000 // size // 20
    for number in range(jobs):
        puts = [[job(number * 20 + one, size)] for one in range(20)]
        assert file.add(puts) == [None] * 20
        assert taken(disk) <= most
    left = file.current().status()
    assert left.jobs + left.dropped == jobs * 20
    assert left.bytes >= 300_000
    assert numbers(file)[-1] == jobs * 20 - 1


def test_a_large_put_takes_no_more_than_that_either(open_file: Open, disk: Path) -> None:
    most = 1 << 20
    file = open_file(path=disk / "outbox.db", max_bytes=most, when_full="drop_oldest")
    for number in range(5):
        file.add([[job(number * 100 + one, 3_000) for one in range(100)]])
        assert taken(disk) <= most
    assert len(numbers(file)) >= 100


@pytest.mark.parametrize("when_full", ["refuse", "drop_oldest"])
def test_a_disk_smaller_than_max_bytes_leaves_room_to_delete(
    open_file: Open, disk: Path, when_full: str
) -> None:
    file = open_file(path=disk / "outbox.db", when_full=when_full)
    answers = []
    for number in range(200):
        answers += file.add([[job(number * 20 + one, 1_000)] for one in range(20)])
    refused = [answer for answer in answers if answer is not None]
    assert all(isinstance(answer, OutboxUnavailable) for answer in refused)
    assert bool(refused) == (when_full == "refuse")
    if refused:
        assert "the disk is full" in str(refused[0])
    kept = file.current().status()
    assert kept.jobs > 2_000
    while rows := file.head(500):
        file.settle(rows, [], 0.0)
    assert file.add([[job(1)]]) == [None]


@pytest.mark.parametrize("jobs", [3, 30, 300])
def test_what_was_sent_is_deleted_though_others_have_taken_the_disk(
    open_file: Open, disk: Path, jobs: int
) -> None:
    file = open_file(path=disk / "outbox.db")
    for number in range(jobs):
        assert file.add([[job(number, 1_000)]]) == [None]
    ballast = fill(disk)
    [refused] = file.add([[job(9_999, 1_000)]])
    assert isinstance(refused, OutboxUnavailable)
    again = open_file(path=disk / "outbox.db")  # a restart
    while rows := again.head(50):
        again.settle(rows, [], 0.0)
    ballast.unlink()
    assert file.add([[job(9_999, 1_000)]]) == [None]
    assert numbers(again) == [9_999]


def test_what_cannot_ever_fit_is_refused_and_drops_nothing(open_file: Open) -> None:
    file = open_file(max_bytes=1 << 20, when_full="drop_oldest")
    file.add([[job(1)]])
    [refused] = file.add([[job(2, 1_000_000)]])
    assert isinstance(refused, OutboxFull)
    assert "max_bytes=1048576 on disk" in str(refused)
    assert numbers(file) == [1]


# -- symbolic links ----------------------------------------------------------------------------


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Leads to the file of `open_file`, which is not there yet."""
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "link.db"
    path.symlink_to(tmp_path / "outbox.db")
    return path


def test_a_symbolic_link_is_another_name_of_the_same_outbox(open_file: Open, link: Path) -> None:
    by_link, by_name = open_file(path=link), open_file()
    by_link.add([[job(1)]])
    by_name.add([[job(2)]])
    assert numbers(by_link) == numbers(by_name) == [1, 2]
    assert [file.name for file in link.parent.iterdir()] == ["link.db"]


def test_one_process_at_a_time_sends_by_whatever_name(link: Path, tmp_path: Path) -> None:
    by_link = Outbox(OutboxOptions(path=link), SystemClock())
    by_name = Outbox(OutboxOptions(path=tmp_path / "outbox.db"), SystemClock())
    try:
        assert by_link.lock.take()
        assert not by_name.lock.take()
    finally:
        by_link.abandon()
        by_name.abandon()


def test_a_log_that_is_lost_behind_a_link_is_noticed(open_file: Open, link: Path) -> None:
    file = open_file(path=link)
    file.add([[job(1)]])
    lose_the_log(link.resolve().parent)
    file.add([[job(2)]])
    assert numbers(file) == numbers(open_file()) == [1, 2]
    assert link.is_symlink()


def test_a_link_that_leads_elsewhere_takes_the_jobs_along(
    open_file: Open, link: Path, tmp_path: Path
) -> None:
    file = open_file(path=link)
    file.add([[job(1)]])
    link.unlink()
    link.symlink_to(tmp_path / "next.db")
    file.add([[job(2)]])
    assert numbers(file) == numbers(open_file(path=tmp_path / "next.db")) == [1, 2]


def test_files_that_were_deleted_leave_their_room_to_the_next_ones(
    open_file: Open, disk: Path
) -> None:
    """A process that lives long has each of them open."""
    file = open_file(path=disk / "outbox.db")
    other = open_file(path=disk / "outbox.db")  # of another event loop
    for number in range(60):  # of 100 KB and more, on a disk of 4 MB
        file.add([[job(number)]])
        assert numbers(other)[-1] == number
        delete(disk)
    assert numbers(file) == numbers(other) == [*range(60)]


def test_a_file_with_the_inode_of_a_deleted_one_is_not_taken_for_it(
    open_file: Open, tmp_path: Path
) -> None:
    """SQLite would find the locks of the old connection on it, and wait for them in vain."""
    file, path, before = open_file(), tmp_path / "outbox.db", set()
    for number in range(20):
        file.add([[job(number)]])
        before.add(path.stat().st_ino)
        delete(tmp_path)
        file.add([[job(number + 100)]])
        spares = [tmp_path / f"spare {spare}" for spare in range(30)]
        for spare in spares:  # they get the inodes that are free
            spare.touch()
        assert before.isdisjoint(one.stat().st_ino for one in [path, *spares])
        for spare in spares:
            spare.unlink()


class Opened:
    def __init__(self, number: int) -> None:
        self.place = Place(Path(str(number)))

    def close_inherited(self) -> None:
        pass


def test_files_are_listed_while_other_threads_open_theirs() -> None:
    """A fork asks for all of them, and so does an outbox whose file was deleted."""
    files = [Opened(number) for number in range(200)]
    places = [file.place for file in files]
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for file in files:
                close_in_forks(file)
            for file in files:
                leave_in_forks(file)

    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(5_000):
            open_places()  # raises nothing
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(switches)
    assert not [place for place in open_places() if place in places]
