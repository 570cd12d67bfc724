"""`up --dashboard`: the page beside broker, scheduler and worker, in one process."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from tests.cluster.cluster import free_port
from tests.cluster.process import Process

pytestmark = pytest.mark.slow


async def test_the_page_of_a_gateway_shows_its_bus_and_ends_with_it(tmp_path: Path) -> None:
    process = await Process.cli(
        "up", "up", "--bind", f"127.0.0.1:{free_port()}", "--db-folder", str(tmp_path),
        "--app", "tests.dashboard.jobs", "--queue", "mail",
        "--dashboard", "--dashboard-bind", f"127.0.0.1:{free_port()}", env={},
    )  # fmt: skip
    try:
        await process.says("gateway online")
        link = next(line for line in process.lines if line.startswith("dashboard: ")).split()[1]
        async with httpx.AsyncClient(base_url=link.partition("?")[0]) as browser:
            await browser.get(link, follow_redirects=True)
            while "queue/mail" not in (await browser.get("api/state")).json()["set"]:
                pass
            async with browser.stream("GET", "api/stream") as stream:
                await anext(stream.aiter_lines())
                process.send(signal.SIGTERM)
                assert await process.ended() == 0, process.output
        assert "gateway stopped" in process.output
        assert "ended by force" not in process.output
    finally:
        if process.running:
            await process.kill()


async def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    port = free_port()
    first = await Process.cli("dashboard", "dashboard", "--bind", f"127.0.0.1:{port}", env={})
    try:
        await first.says("dashboard: http")
        second = await Process.cli("dashboard", "dashboard", "--bind", f"127.0.0.1:{port}", env={})
        assert await second.ended() == 4
        assert f"--bind='127.0.0.1:{port}' cannot be used" in second.output
        assert "Traceback" not in second.output
    finally:
        await first.kill()
