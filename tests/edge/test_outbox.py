"""The outbox in real processes: offline, killed, shared, refused."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import pytest

from routeq_mqtt import Bus, OutboxOptions
from routeq_mqtt.settings import Settings
from tests.bed.bed import Bed
from tests.bed.jobs import Report
from tests.bed.process import Process
from tests.edge.chaos import Chaos


def file_of(bed: Bed) -> Path:
    return bed.folder / "outbox.db"


async def program(bed: Bed, name: str, *arguments: str, **env: str) -> Process:
    process = await Process.start(
        name,
        sys.executable,
        "-m",
        "tests.edge.programs.outbox",
        name,
        *arguments,
        env=bed.env | {"ROUTEQ_OUTBOX": str(file_of(bed))} | env,
    )
    bed.processes.append(process)
    return process


def bus_of(bed: Bed, **options: object) -> Bus:
    outbox = OutboxOptions(path=file_of(bed), **options)  # type: ignore[arg-type]
    return Bus(settings=Settings(url=bed.url), outbox=outbox)


async def status(bed: Bed) -> dict[str, object]:
    code, output = await bed.cli("outbox", "status", "--json", "--outbox", str(file_of(bed)))
    assert code == 0, output
    found: dict[str, object] = json.loads(output)
    return found


async def flush(bed: Bed, code: int = 0) -> str:
    found, output = await bed.cli("outbox", "flush", "--outbox", str(file_of(bed)))
    assert found == code, output
    return output


async def until(when: float) -> None:
    """Wall-clock time is the event that a job which expires waits for."""
    while time.time() < when:
        await asyncio.sleep(when - time.time())


@pytest.fixture
async def house(bed: Bed) -> Bed:
    await bed.scheduler()
    await bed.worker("default", "--concurrency", "1")
    return bed


async def test_what_was_dispatched_offline_runs_in_order_when_the_broker_is_back(
    house: Bed,
) -> None:
    await house.stop_broker()
    async with bus_of(house) as bus:
        for number in range(20):
            await bus.dispatch(Report(key=str(number)))
        await bus.bulk([Report(key=str(number)) for number in range(20, 600)])
        assert (await status(house))["jobs"] == 600
        await house.start_broker()
        await house.recorder.count("ran", 600)
    assert [event["key"] for event in house.recorder.named("ran")] == [
        str(number) for number in range(600)
    ]
    left = await status(house)
    assert (left["jobs"], left["bytes"], left["aside_jobs"]) == (0, 0, 0)


async def test_a_script_sends_what_it_can_before_it_ends(house: Bed) -> None:
    await (await program(house, "produce", "0", "5")).ended()
    assert (await status(house))["jobs"] == 0
    await house.recorder.count("ran", 5)


async def test_a_script_ends_at_once_where_the_broker_is_away(bed: Bed) -> None:
    await bed.stop_broker()
    process = await program(bed, "produce", "0", "5")
    assert await process.ended() == 0, process.output
    assert (await status(bed))["jobs"] == 5


async def test_a_program_that_forgets_to_close_ends_and_keeps_its_jobs(bed: Bed) -> None:
    await bed.stop_broker()
    process = await program(bed, "forgets_to_close")
    assert await process.ended() == 0, process.output
    assert (await status(bed))["jobs"] == 1


@pytest.mark.parametrize("step", ["add", "head", "settle"])
async def test_a_producer_that_is_killed_loses_and_doubles_nothing(house: Bed, step: str) -> None:
    killed = await program(house, "die_at", step, "50")
    assert await killed.ended() == -signal.SIGKILL
    assert (await status(house))["jobs"] == 50
    await flush(house)
    async with house.bus() as bus:
        await bus.dispatch(Report(key="last"))
    await house.recorder.wait(lambda: "last" in house.recorder.ran())
    await house.recorder.count("ran", 51)
    expected = {str(number) for number in range(50)} | {"last"}
    assert house.recorder.ran() == dict.fromkeys(expected, 1)


async def test_another_process_takes_over_when_the_one_that_forwards_is_killed(
    house: Bed,
) -> None:
    first = await program(house, "forward")
    await first.says("forwards")
    second = await program(house, "forward")
    producer = await program(house, "produce", "0", "10")
    assert await producer.ended() == 0
    await house.recorder.count("ran", 10)
    assert (await status(house))["forwarder"] == first.pid
    await first.kill()
    await second.says("forwards")
    assert await (await program(house, "produce", "10", "10")).ended() == 0
    await house.recorder.count("ran", 20)
    assert set(house.recorder.ran().values()) == {1}


async def test_a_sync_bus_shares_the_outbox_with_its_threads_and_forks(house: Bed) -> None:
    process = await program(house, "sync")
    assert await process.ended() == 0, process.output
    await flush(house)
    keys = {"first", "child", *(f"thread {number}" for number in range(4))}
    await house.recorder.count("ran", len(keys))
    assert house.recorder.ran() == dict.fromkeys(keys, 1)


async def test_a_delay_counts_from_dispatch(house: Bed) -> None:
    await house.stop_broker()
    async with bus_of(house) as bus:
        await bus.later(0.2, Report(key="soon"))
        await bus.later(3600, Report(key="much later"))
        dispatched = time.time()
        await house.start_broker()
        await house.recorder.count("ran", 1)
        await house.size_until(bus, "default", lambda size: size.delayed == 1)
    assert house.recorder.events[0]["key"] == "soon"
    assert house.recorder.events[0]["at"] >= dispatched


async def test_a_job_that_expired_in_the_outbox_becomes_a_failed_record(house: Bed) -> None:
    async with house.bus() as asking, bus_of(house) as bus:
        await house.stop_broker()
        late = await bus.dispatch(Report(key="late"), expires_at=time.time() + 0.05)
        await bus.dispatch(Report(key="in time"), expires_at=time.time() + 3600)
        await until(float(int(late[:12], 16)) / 1000 + 0.1)
        await house.start_broker()
        [record] = await house.failed_records(asking, 1)
        await house.recorder.count("ran", 1)
    assert (record["id"], record["job"], record["reason"]) == (late, "Report", "expired")
    assert house.recorder.ran() == {"in time": 1}


async def test_plain_publishing_needs_no_scheduler(bed: Bed) -> None:
    await bed.worker()
    async with bus_of(bed, confirm="broker") as bus:
        await bus.bulk([Report(key=str(number)) for number in range(100)])
        await bed.recorder.count("ran", 100)


async def test_without_a_scheduler_stored_jobs_wait_and_status_and_flush_say_so(bed: Bed) -> None:
    async with bus_of(bed, linger=0.0) as bus:
        await bus.dispatch(Report(key="waits"))
    output = await bed.cli("outbox", "flush", "--timeout", "1", "--outbox", str(file_of(bed)))
    assert output[0] == 1
    assert "1 jobs still wait" in output[1]
    assert "start one: routeq-mqtt scheduler" in output[1]
    await bed.scheduler()
    await bed.worker()
    await flush(bed)
    await bed.recorder.count("ran", 1)


async def test_the_command_line_dispatches_into_the_outbox(bed: Bed) -> None:
    await bed.stop_broker()
    process = await Process.cli(
        "dispatch", "dispatch", "Report", "key=cli",
        env=bed.env | {"ROUTEQ_OUTBOX": str(file_of(bed))},
    )  # fmt: skip
    assert await process.ended() == 0, process.output
    assert (await status(bed))["jobs"] == 1


async def test_a_command_without_a_file_says_what_is_missing(bed: Bed) -> None:
    code, output = await bed.cli("outbox", "status")
    assert (code, "ROUTEQ_OUTBOX" in output) == (4, True)
    code, output = await bed.cli("outbox", "flush", "--outbox", str(bed.folder / "none.db"))
    assert (code, "no such file" in output) == (4, True)


async def test_chaos_links_are_cut_and_producers_killed_and_nothing_is_lost(house: Bed) -> None:
    jobs = 10_000 if house.kind == "mosquitto" else 1_200
    chaos = Chaos(house, jobs=jobs, seed=5)
    await chaos.run(patience=60.0)
    assert chaos.kills
    assert set(chaos.cuts) == {"reset", "refused", "half-open"}
