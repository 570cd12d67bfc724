"""Jobs that the broker does not take are set aside, and those behind them go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, OutboxOptions
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import Cluster, mosquitto
from tests.cluster.jobs import Report
from tests.cluster.recorder import TIMEOUT, Recorder

ACL = """
user device
topic readwrite routeq/#
topic readwrite queue/default
topic deny routeq/store/secret
user everything
topic readwrite #
topic readwrite $queue/#
"""


@pytest.fixture
async def strict(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Cluster]:
    """A mosquitto with access control and a limit for messages; scheduler and worker may all."""
    if mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    cluster = Cluster("mosquitto", tmp_path, recorder)
    (tmp_path / "acl").write_text(ACL)
    cluster.extra_conf = [f"acl_file {tmp_path / 'acl'}", "message_size_limit 100000"]
    try:
        await cluster.start_broker()
        plain = cluster.url
        cluster.url = plain.replace("mqtt://", "mqtt://everything@")
        await cluster.scheduler()
        await cluster.worker("default,secret", "--concurrency", "1")
        cluster.url = plain.replace("mqtt://", "mqtt://device@")
        yield cluster
    finally:
        await cluster.close()


pytestmark = pytest.mark.slow


async def aside(bus: Bus, number: int) -> list[str]:
    """Wait until so many jobs are aside and no other waits; their errors."""
    assert bus.outgoing is not None
    async with asyncio.timeout(TIMEOUT):
        while True:
            found = await bus.outgoing.outbox.status()
            if found.aside_jobs >= number and not found.jobs:
                return [job.error for job in found.aside]


@pytest.mark.parametrize("confirm", ["stored", "broker"])
async def test_a_job_that_may_not_be_sent_blocks_nobody_and_is_not_lost(
    strict: Cluster, confirm: str
) -> None:
    options = OutboxOptions(path=strict.folder / "outbox.db", confirm=confirm)  # type: ignore[arg-type]
    async with Bus(settings=Settings(url=strict.url), outbox=options) as bus:
        await bus.dispatch(Report(key="forbidden"), queue="secret")
        await bus.dispatch(Report(key="allowed"))
        await bus.dispatch(Report(key="forbidden, too"), queue="secret")
        await bus.dispatch(Report(key="last"))
        await strict.recorder.count("ran", 2)
        errors = await aside(bus, 2)
    assert list(strict.recorder.ran()) == ["allowed", "last"]
    assert all("0x87" in error and "access control" in error for error in errors)
    mended = "user device\ntopic readwrite #\ntopic readwrite $queue/#\nuser nobody"
    (strict.folder / "acl").write_text(ACL.replace("user device", mended))
    await strict.restart_broker()
    code, output = await strict.cli("outbox", "flush", "--outbox", str(options.path))
    assert code == 0, output
    await strict.recorder.count("ran", 4)
    assert set(strict.recorder.ran().values()) == {1}


@pytest.mark.parametrize("limit", ["message_size_limit 100000", "max_packet_size 100000"])
@pytest.mark.parametrize("confirm", ["stored", "broker"])
async def test_a_job_that_is_too_large_for_the_broker_is_set_aside(
    strict: Cluster, confirm: str, limit: str
) -> None:
    strict.extra_conf[1] = limit
    # Also the way that jobs take while the worker is not back in its group.
    acl = ACL.replace("user device", "user device\ntopic write $queue/default")
    (strict.folder / "acl").write_text(acl)
    await strict.restart_broker()
    options = OutboxOptions(path=strict.folder / "outbox.db", confirm=confirm)  # type: ignore[arg-type]
    async with Bus(settings=Settings(url=strict.url), outbox=options) as bus:
        await bus.dispatch(Report(key="first"))
        await bus.dispatch(Report(key="x" * 150_000))
        await bus.dispatch(Report(key="last"))
        # The first one may go by the scheduler, and then the last one overtakes it.
        await strict.recorder.count("ran", 2)
        [error] = await aside(bus, 1)
    assert strict.recorder.ran() == {"first": 1, "last": 1}
    assert "0x95" in error or "connection" in error
