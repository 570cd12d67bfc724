"""`routeq-mqtt up`: a whole bus in one process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import free_port
from tests.cluster.jobs import BlocksTheLoop, Gated, Report
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT, Recorder

pytestmark = pytest.mark.slow


class Up:
    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self.port = free_port()
        self.settings = Settings(url=f"mqtt://127.0.0.1:{self.port}", timeout=30.0)
        self._folder = folder
        self._recorder = recorder
        self.processes: list[Process] = []

    async def start(self) -> Process:
        process = await Process.cli(
            "up", "up", "--bind", f"127.0.0.1:{self.port}", "--db-folder", str(self._folder),
            "--app", "tests.cluster.jobs", "--queue", "default,other",
            "--trigger", "devices/{key}/now=Report",
            env={"ROUTEQ_TEST_RECORDER": str(self._recorder.port)},
        )  # fmt: skip
        self.processes.append(process)
        await process.says("gateway online")
        return process


@pytest.fixture
async def up(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Up]:
    one = Up(tmp_path, recorder)
    yield one
    for process in one.processes:
        if process.running:
            await process.kill()


async def test_jobs_run_and_outlive_a_kill(up: Up, recorder: Recorder) -> None:
    process = await up.start()
    async with Bus(settings=up.settings) as bus:
        await bus.dispatch(Report(key="now"))
        await bus.dispatch(Report(key="other"), queue="other")
        await bus.dispatch(Gated(key="held", gate="go"))
        await bus.later(0.5, Report(key="later"))
        await recorder.count("waits", 1)
        async with asyncio.timeout(TIMEOUT):
            while not await bus.requests.call("trigger.list"):
                pass
        connection = await bus.sender.link.ready()
        await connection.publish("devices/roof/now", b"{}")
    await process.kill()
    process = await up.start()
    recorder.open("go")
    await recorder.wait(lambda: set(recorder.ran()) >= {"now", "other", "held", "later", "roof"})
    process.send(signal.SIGTERM)
    assert await process.ended() == 0
    assert "gateway stopped" in process.output


async def test_a_job_that_blocks_its_loop_does_not_stop_the_broker(
    up: Up, recorder: Recorder
) -> None:
    await up.start()
    async with Bus(settings=up.settings) as bus:
        await bus.dispatch(BlocksTheLoop(key="hung"))
        await recorder.wait(lambda: bool(recorder.named("waits")))
        await bus.dispatch(Report(key="accepted meanwhile"), confirm="stored")
        await bus.requests.call("ping")
        recorder.open("hung")
        await recorder.wait(lambda: "accepted meanwhile" in recorder.ran())
