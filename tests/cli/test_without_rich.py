"""Every command that shows more than a line, where rich is not installed (docs/footprint.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.test_watch import terminal
from tests.cli.without_rich import ENV
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import GivesUp
from tests.cluster.recorder import Recorder
from tests.conftest import need_mosquitto

pytestmark = pytest.mark.slow


@pytest.fixture
async def plain(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Cluster]:
    """One broker is enough: this is about looks."""
    need_mosquitto()
    cluster = Cluster("mosquitto", tmp_path, recorder)
    cluster.extra_env = ENV | {"COLUMNS": "300"}
    await cluster.start_broker()
    yield cluster
    await cluster.close()


async def test_tables_are_plain_columns(plain: Cluster) -> None:
    await plain.scheduler()
    await plain.worker(
        "default", "--name", "press", "--tag", "site=north", "--trigger", "a/+=Report"
    )
    async with plain.bus() as bus:
        job_id = (await bus.dispatch(GivesUp())).id
        await plain.failed_records(bus, 1)

    commands = {
        "workers": "press",
        "queues": "default  0      0        0       0        0        1",
        "devices": "press   online",
        "failed list": job_id,
        "triggers list": "a/+      Report  default",
        "schedule list": "no schedules yet",
        "doctor": "message limit          ok ",
        f"failed show {job_id}": "failed on purpose: Fail: no such customer",
    }
    for command, row in commands.items():
        code, said = await plain.cli(*command.split())
        assert code == 0, said
        assert row in said, said
        assert not set(said) & set("│┃━─"), said


async def test_watch_says_each_change_where_no_picture_can_stay(plain: Cluster) -> None:
    async with terminal(plain, "workers", "--watch") as shown:
        await shown.shows("no worker is there")
        worker = await plain.worker("default", "--name", "press", "--concurrency", "3")
        await shown.shows("WORKER", "press", "online", "0/3")
        assert await worker.stop() == 0
        await shown.shows("no worker is there")
        assert await shown.type(b"\x03") == 0
