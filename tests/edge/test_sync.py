"""`SyncBus` in real processes: threads, forks, and every way that a program ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, ConfigurationError, ConnectionFailed, OutboxOptions, SyncBus
from routeq_mqtt.outbox.file import OutboxFile
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import Cluster, free_port
from tests.cluster.jobs import Report
from tests.cluster.process import Process


async def start(cluster: Cluster, name: str, env: dict[str, str] | None = None) -> Process:
    command = (sys.executable, "-m", "tests.edge.programs.sync", name)
    program = await Process.start(
        name, *command, env=cluster.env | (env or {}), folder=cluster.folder
    )
    cluster.processes.append(program)
    return program


async def run(
    cluster: Cluster, name: str, *, code: int = 0, env: dict[str, str] | None = None
) -> str:
    program = await start(cluster, name, env)
    assert await program.ended() == code, program.output
    return program.output


@pytest.fixture
async def house(cluster: Cluster) -> Cluster:
    await cluster.scheduler()
    await cluster.worker()
    return cluster


async def test_several_threads_share_one_bus(house: Cluster) -> None:
    assert await run(house, "threads") == ""
    await house.recorder.count("ran", 200)
    keys = {f"{thread}-{number}" for thread in range(8) for number in range(25)}
    assert house.recorder.ran() == dict.fromkeys(keys, 1)


async def test_each_process_of_a_fork_has_its_own_connection(house: Cluster) -> None:
    assert await run(house, "fork") == ""
    keys = {"parent before", "parent after", "child", "grandchild", "pool 0", "pool 1"}
    await house.recorder.count("ran", len(keys))
    assert house.recorder.ran() == dict.fromkeys(keys, 1)


async def test_a_fork_in_the_middle_of_a_call_blocks_nobody(house: Cluster) -> None:
    assert await run(house, "fork_in_use") == ""
    children = {f"child {number}" for number in range(10)}
    await house.recorder.wait(lambda: children <= set(house.recorder.ran()), "children ran")
    assert set(house.recorder.ran().values()) == {1}


async def test_a_fork_in_the_middle_of_a_commit_keeps_jobs_in_the_same_outbox(
    house: Cluster,
) -> None:
    outbox = str(house.folder / "outbox.db")
    assert await run(house, "fork_in_use", env={"ROUTEQ_OUTBOX": outbox}) == ""
    children = {f"child {number}" for number in range(10)}
    await house.recorder.wait(lambda: children <= set(house.recorder.ran()), "children ran")
    assert set(house.recorder.ran().values()) == {1}


async def test_a_thread_that_outlives_the_main_thread_still_connects(house: Cluster) -> None:
    assert await run(house, "late_thread") == ""
    await house.recorder.count("ran", 1)


async def test_a_program_ends_while_a_daemon_thread_dispatches(house: Cluster) -> None:
    await run(house, "daemon_thread")
    await house.recorder.count("ran", 1)


async def test_a_program_that_ends_with_an_error_has_sent_what_it_dispatched(
    house: Cluster,
) -> None:
    assert "ZeroDivisionError" in await run(house, "raises", code=1)
    await house.recorder.count("ran", 1)


async def test_all_methods_work_also_from_a_callback(house: Cluster) -> None:
    await run(house, "callback")
    keys = {"callback", "named", "later", "bulk 0", "bulk 1", "bulk 2", "opened again"}
    await house.recorder.count("ran", len(keys))
    assert house.recorder.ran() == dict.fromkeys(keys, 1)


async def test_a_destructor_that_dispatches_at_the_very_end_is_told_so(house: Cluster) -> None:
    assert "the interpreter is ending, so nothing was sent" in await run(house, "destructor")
    await house.recorder.count("ran", 1)


async def test_a_bus_that_is_dropped_leaves_nothing_behind(house: Cluster) -> None:
    assert await run(house, "dropped") == ""
    await house.recorder.count("ran", 21)


@pytest.mark.parametrize("outbox", [False, True], ids=["direct", "outbox"])
async def test_an_event_loop_for_each_call_keeps_no_connection(
    house: Cluster, outbox: bool
) -> None:
    await run(house, "runs", env={"ROUTEQ_OUTBOX": "outbox.db"} if outbox else {})
    await house.recorder.count("ran", 32)
    assert set(house.recorder.ran().values()) == {1}


async def test_ctrl_c_ends_a_call_that_waits_for_a_broker(cluster: Cluster) -> None:
    await cluster.stop_broker()
    program = await start(cluster, "interrupted")
    await program.says("waits")
    program.send(signal.SIGINT)
    await program.says("interrupted")
    assert await program.ended() == 0, program.output


def test_a_broker_that_is_not_there_is_an_error_and_the_program_goes_on() -> None:
    bus = SyncBus(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(ConnectionFailed, match="is it running"):
        bus.dispatch(Report(key="x"), timeout=1.5)
    bus.close()
    bus.close()


def test_a_wrong_url_fails_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match="http"):
        SyncBus("http://broker")


def test_the_bus_cannot_be_used_from_its_own_thread() -> None:
    bus = SyncBus("mqtt://127.0.0.1:1")

    async def inside(inner: object) -> None:
        bus.dispatch(Report(key=str(Path())))

    with pytest.raises(RuntimeError, match="use a Bus there"):
        bus.engine.run(inside)
    bus.close()


def test_the_outbox_that_is_named_keeps_the_jobs(tmp_path: Path) -> None:
    named: list[OutboxOptions | Path | str] = [
        OutboxOptions(path=tmp_path / "0"),
        tmp_path / "1",
        str(tmp_path / "2"),
    ]
    for number, outbox in enumerate(named):
        bus = SyncBus(f"mqtt://127.0.0.1:{free_port()}", outbox=outbox)
        bus.dispatch(Report(key="x"))
        bus.close()
        file = OutboxFile(OutboxOptions(path=tmp_path / str(number)))
        assert file.status().jobs == 1
        file.close()


def test_a_signal_handler_may_dispatch_while_a_call_begins(tmp_path: Path) -> None:
    options = OutboxOptions(path=tmp_path / "outbox.db", linger=0)
    bus = SyncBus(f"mqtt://127.0.0.1:{free_port()}", outbox=options)
    done: list[str] = []

    def handler(*_: object) -> None:
        done.append(bus.dispatch(Report(key="handler")).id)

    async def nothing() -> None: ...

    def interrupted(_: Bus) -> Coroutine[Any, Any, None]:
        signal.raise_signal(signal.SIGUSR1)
        return nothing()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        bus.engine.run(interrupted)
    finally:
        signal.signal(signal.SIGUSR1, before)
        bus.close()
    assert len(done) == 1


def test_a_url_that_is_named_beats_the_one_in_the_settings() -> None:
    settings = Settings.from_environment({"ROUTEQ_URL": "mqtt://elsewhere", "ROUTEQ_TIMEOUT": "3"})
    bus = Bus("mqtt://here", settings=settings)
    assert (bus.settings.url, bus.settings.timeout) == ("mqtt://here", 3.0)
