"""A disk that is really full, as the kernel says, and a file that is damaged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_mqtt import ConfigurationError, DispatchTimeout
from routeq_mqtt.scheduler.store.store import Store
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.edge import disks
from tests.faults.at_once import at_once
from tests.faults.site import Site


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MB."""
    with disks.small_disk(tmp_path / "disk", 16) as folder:
        yield folder


async def test_no_space_left_loses_nothing_and_mends_itself(site: Site, small_disk: Path) -> None:
    scheduler = await site.start_scheduler("--db", str(small_disk / "routeq.db"))
    await site.start_producer("later", "--delayed", "1", "--rate", "100")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "50")
    await site.start_producer("plain", "--rate", "50")
    await site.start_worker()
    await site.until("end", 50)
    ballast = disks.fill(small_disk)
    site.fault("disk full")
    await scheduler.says("cannot commit, jobs wait at the broker")
    await site.until("sent", site.count("sent") + 50)
    assert scheduler.running, scheduler.output
    await _says_why(site.cluster)
    ballast.unlink()
    # A checkpoint may make room for a commit or two meanwhile; each state is logged once.
    await scheduler.says("commits again", times=scheduler.output.count("cannot commit"))
    assert scheduler.output.count("cannot commit") < 5
    await site.end_producers()
    verdict = await site.settled()
    verdict.assert_sound()
    assert not verdict.doubled
    assert scheduler.running, scheduler.output


async def _says_why(cluster: Cluster) -> None:
    """Whoever asks for the scheduler is told what keeps it from work."""
    why = "cannot commit: disk full"
    code, output = await cluster.cli("health", "--scheduler")
    assert (code, why in output) == (1, True), output
    _, output = await cluster.cli("doctor", "--json")
    assert why in output, output
    async with cluster.bus() as bus:
        with pytest.raises(DispatchTimeout, match=why):
            await bus.dispatch(
                Report(key="unconfirmed"), queue="nobody", confirm="stored", timeout=1
            )


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
