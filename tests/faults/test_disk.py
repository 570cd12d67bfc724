"""A disk that is really full, as the kernel says, and a file that is damaged."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_mqtt import ConfigurationError
from routeq_mqtt.scheduler.store import Store
from tests.faults.at_once import at_once
from tests.faults.site import Site


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left; what takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return ballast


async def test_no_space_left_loses_nothing_and_mends_itself(site: Site, small_disk: Path) -> None:
    scheduler = await site.start_scheduler("--db", str(small_disk / "routeq.db"))
    await site.start_producer("later", "--delayed", "1", "--rate", "100")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "50")
    await site.start_producer("plain", "--rate", "50")
    await site.start_worker()
    await site.until("end", 50)
    ballast = fill(small_disk)
    site.fault("disk full")
    await scheduler.says("cannot commit, jobs wait at the broker")
    await site.until("sent", site.count("sent") + 50)
    assert scheduler.running, scheduler.output
    ballast.unlink()
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled
    assert scheduler.running, scheduler.output


async def test_a_read_only_file_system_is_refused(small_disk: Path) -> None:
    db = small_disk / "routeq.db"
    await (await Store.open(db)).close()
    remount = await asyncio.create_subprocess_exec("mount", "-o", "remount,ro", str(small_disk))
    assert await remount.wait() == 0
    with pytest.raises(ConfigurationError, match=rf"--db={db}: cannot write there: .*Read-only"):
        await Store.open(db)


@at_once
async def test_a_damaged_database_is_refused_until_it_is_mended(site: Site) -> None:
    """What it kept and what is accepted meanwhile runs when a copy of it was put back."""
    first = await site.start_scheduler()
    await _produce(site, "before")
    assert await first.stop() == 0
    good = site.db.read_bytes()
    torn = bytearray(good)
    torn[16:56] = b"\xff" * 40
    for number, bad in enumerate((b"no database " * 1000, bytes(torn))):
        site.db.write_bytes(bad)
        await _produce(site, f"meanwhile-{number}")
        refused = await site.start_scheduler_soon()
        assert await refused.ended() == 1
        assert f"database {site.db} is damaged: file is not a database" in refused.output
        assert ".recover" in refused.output
        assert site.db.read_bytes() == bad
    site.db.write_bytes(good)
    await site.start_scheduler()
    await site.start_worker()
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled
    assert site.count("sent") == site.count("end") == 15


async def _produce(site: Site, name: str) -> None:
    producer = await site.start_producer(name, "--count", "5")
    assert await producer.ended() == 0, producer.output
