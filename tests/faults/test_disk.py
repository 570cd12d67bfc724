"""A disk that is really full: the kernel says that there is no space left."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
