"""A worker and a scheduler inside of a program."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from routeq_mqtt import (
    Bus,
    ConfigurationError,
    Scheduler,
    SchedulerRunning,
    Settings,
    Worker,
    WorkerOptions,
    job,
)
from routeq_mqtt.testing import MemoryBroker, MemoryTransport
from tests.cluster.process import ROOT


@job(queue="inside", result_ttl=60)
async def inside(number: int) -> int:
    return number + 1


def bus_of(broker: MemoryBroker) -> Bus:
    return Bus(settings=Settings(), transport=MemoryTransport(broker))


async def test_both_beside_a_bus(tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with bus_of(MemoryBroker()) as bus:
        async with Scheduler(bus, db=tmp_path / "x.db"), Worker(bus, queues=["inside"]) as worker:
            handle = await bus.dispatch(inside.job(1), delay=0.01)
            assert await handle.result(20) == 2
            assert (worker.ended_jobs, worker.failed_jobs) == (1, 0)
            with pytest.raises(SchedulerRunning):
                async with Scheduler(bus, db=tmp_path / "y.db"):
                    pass
            with pytest.raises(ConfigurationError, match="it runs already"):
                async with worker:
                    pass
        assert [one.state for one in await bus.workers()] in ([], ["stopped"])
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


async def test_run_returns_at_a_limit_and_when_stopped(tmp_path: Path) -> None:
    async with bus_of(MemoryBroker()) as bus, Scheduler(bus, db=str(tmp_path / "x.db")):
        await bus.bulk([inside.job(n) for n in range(3)], confirm="stored")
        limited = Worker(bus, options=WorkerOptions(queues=("inside",), max_jobs=3))
        async with asyncio.timeout(20):
            await limited.run()
        assert limited.ended_jobs == 3
        async with Worker(bus, queues=["inside"], concurrency=1) as worker:
            worker.stop()


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"queues": "inside"}, r"must be a list of names: queues=\['inside'\]"),
        ({"queues": []}, "no queue is named"),
        ({"concurrency": 0}, "concurrency=0 must be 1 or more"),
    ],
)
def test_wrong_options(options: dict[str, object], wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        Worker(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="db=3"):
        Scheduler(db=3)  # type: ignore[arg-type]


LATE = (
    "routeq_mqtt.worker", "routeq_mqtt.scheduler", "routeq_mqtt.service",
    "routeq_mqtt.outbox.file", "routeq_mqtt.wire.observe", "routeq_mqtt.cli",
    "routeq_mqtt.testing", "aiosqlite", "sqlite3", "typer", "click", "rich", "dotenv",
    "cryptography", "uvloop", "pydantic", "attr", "fastapi", "django", "flask", "starlette",
    "asgiref", "multiprocessing", "concurrent.futures.process",
    "routeq_mqtt.transport.aio", "routeq_mqtt.wire.messages.requests",
    "routeq_mqtt.wire.messages.replies", "aiomqtt", "paho", "tenacity", "urllib.request", "http",
    "email",
)  # fmt: skip
"""What a program that only defines jobs does not wait for: it is imported when it is used."""


def test_programs_import_no_more_than_jobs_and_buses_need() -> None:
    program = (
        "import sys, json\n"
        "before = set(sys.modules)\n"
        "import routeq_mqtt\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))},
    )  # fmt: skip
    loaded = json.loads(run.stdout)
    assert "routeq_mqtt.bus.bus" in loaded
    late = [name for name in loaded if any(f"{name}.".startswith(f"{one}.") for one in LATE)]
    assert not late
    with pytest.raises(AttributeError, match="no attribute 'Nonesuch'"):
        __import__("routeq_mqtt").Nonesuch  # noqa: B018
