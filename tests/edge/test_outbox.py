"""The outbox in real processes: offline, killed, shared, refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, OutboxOptions
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.edge.chaos import Chaos
from tests.edge.disks import small_disk
from tests.edge.programs.outbox import GROUP


def file_of(cluster: Cluster) -> Path:
    return cluster.folder / "outbox.db"


async def program(
    cluster: Cluster, name: str, *arguments: str, folder: Path | None = None, **env: str
) -> Process:
    process = await Process.start(
        name,
        sys.executable,
        "-m",
        "tests.edge.programs.outbox",
        name,
        *arguments,
        env=cluster.env | {"ROUTEQ_OUTBOX": str(file_of(cluster))} | env,
        folder=folder,
    )
    cluster.processes.append(process)
    return process


def bus_of(cluster: Cluster, **options: object) -> Bus:
    outbox = OutboxOptions(path=file_of(cluster), **options)  # type: ignore[arg-type]
    return Bus(settings=Settings(url=cluster.url), outbox=outbox)


async def status(cluster: Cluster) -> dict[str, object]:
    code, output = await cluster.cli(
        "outbox", "status", "--json", "--outbox", str(file_of(cluster))
    )
    assert code == 0, output
    found: dict[str, object] = json.loads(output)
    return found


async def flush(cluster: Cluster, code: int = 0) -> str:
    found, output = await cluster.cli("outbox", "flush", "--outbox", str(file_of(cluster)))
    assert found == code, output
    return output


async def until(when: float) -> None:
    """Wall-clock time is the event that a job which expires waits for."""
    while time.time() < when:
        await asyncio.sleep(when - time.time())


@pytest.fixture
async def house(cluster: Cluster) -> Cluster:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "1")
    return cluster


async def test_who_opens_and_leaves_at_once_sends_what_is_there(house: Cluster) -> None:
    """As at the end of a program: what a loop that ended left over goes out with the process."""
    for number in range(5):
        kept = OutboxOptions(path=file_of(house), linger=0)
        async with Bus("mqtt://127.0.0.1:1", outbox=kept) as away:
            await away.dispatch(Report(key=str(number)))
        bus = bus_of(house)
        await asyncio.gather(bus.open(), bus.close())
        assert (await status(house))["jobs"] == 0
    await house.recorder.count("ran", 5)


async def test_what_was_dispatched_offline_runs_in_order_when_the_broker_is_back(
    house: Cluster,
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


async def test_a_script_sends_what_it_can_before_it_ends(house: Cluster) -> None:
    await (await program(house, "produce", "0", "5")).ended()
    assert (await status(house))["jobs"] == 0
    await house.recorder.count("ran", 5)


async def test_a_script_ends_at_once_where_the_broker_is_away(cluster: Cluster) -> None:
    await cluster.stop_broker()
    process = await program(cluster, "produce", "0", "5")
    assert await process.ended() == 0, process.output
    assert (await status(cluster))["jobs"] == 5


async def test_a_program_that_forgets_to_close_ends_and_keeps_its_jobs(cluster: Cluster) -> None:
    await cluster.stop_broker()
    process = await program(cluster, "forgets_to_close")
    assert await process.ended() == 0, process.output
    assert (await status(cluster))["jobs"] == 1


@pytest.mark.parametrize("step", ["add", "head", "settle"])
async def test_a_producer_that_is_killed_loses_and_doubles_nothing(
    house: Cluster, step: str
) -> None:
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
    house: Cluster,
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


async def test_a_sync_bus_shares_the_outbox_with_its_threads_and_forks(house: Cluster) -> None:
    process = await program(house, "sync")
    assert await process.ended() == 0, process.output
    await flush(house)
    keys = {"first", "child", *(f"thread {number}" for number in range(4))}
    await house.recorder.count("ran", len(keys))
    assert house.recorder.ran() == dict.fromkeys(keys, 1)


async def test_a_delay_counts_from_dispatch(house: Cluster) -> None:
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


async def test_a_job_that_expired_in_the_outbox_becomes_a_failed_record(house: Cluster) -> None:
    async with house.bus() as asking, bus_of(house) as bus:
        await house.stop_broker()
        late = await bus.dispatch(Report(key="late"), expires_at=time.time() + 0.05)
        await bus.dispatch(Report(key="in time"), expires_at=time.time() + 3600)
        await until(float(int(late.id[:12], 16)) / 1000 + 0.1)
        await house.start_broker()
        [record] = await house.failed_records(asking, 1)
        await house.recorder.count("ran", 1)
    assert (record["id"], record["job"], record["reason"]) == (late, "Report", "expired")
    assert house.recorder.ran() == {"in time": 1}


async def test_plain_publishing_needs_no_scheduler(cluster: Cluster) -> None:
    await cluster.worker()
    async with bus_of(cluster, confirm="broker") as bus:
        await bus.bulk([Report(key=str(number)) for number in range(100)])
        await cluster.recorder.count("ran", 100)


async def test_without_a_scheduler_stored_jobs_wait_and_status_and_flush_say_so(
    cluster: Cluster,
) -> None:
    async with bus_of(cluster, linger=0.0) as bus:
        await bus.dispatch(Report(key="waits"))
    output = await cluster.cli(
        "outbox", "flush", "--timeout", "1", "--outbox", str(file_of(cluster))
    )
    assert output[0] == 1
    assert "1 jobs still wait" in output[1]
    assert "start one: routeq-mqtt scheduler" in output[1]
    await cluster.scheduler()
    await cluster.worker()
    await flush(cluster)
    await cluster.recorder.count("ran", 1)


async def test_the_command_line_dispatches_into_the_outbox(cluster: Cluster) -> None:
    await cluster.stop_broker()
    process = await Process.cli(
        "dispatch", "dispatch", "Report", "key=cli",
        env=cluster.env | {"ROUTEQ_OUTBOX": str(file_of(cluster))},
    )  # fmt: skip
    assert await process.ended() == 0, process.output
    assert (await status(cluster))["jobs"] == 1


async def test_a_daemon_that_changes_its_folder_goes_on_sending(house: Cluster) -> None:
    folder = house.folder / "started here"
    folder.mkdir()
    daemon = await program(house, "daemon", "20", folder=folder, ROUTEQ_OUTBOX="relative.db")
    await house.recorder.count("ran", 20)
    assert (folder / "relative.db").exists()
    sync = await program(house, "sync_daemon", folder=folder)
    assert await sync.ended() == 0, sync.output
    await house.recorder.count("ran", 21)
    assert (folder / "named.db").exists()
    await daemon.kill()


@pytest.mark.parametrize("how", ["delete", "move"])
async def test_a_file_that_is_taken_away_while_processes_use_it_takes_no_job_along(
    house: Cluster, how: str
) -> None:
    await house.stop_broker()
    keeper = await program(house, "forward")
    await keeper.says("forwards")
    async with bus_of(house, linger=0.0) as bus:
        for number in range(10):
            await bus.dispatch(Report(key=str(number)))
        take_away(file_of(house), how)
        for number in range(10, 20):
            await bus.dispatch(Report(key=str(number)))
        assert (await status(house))["jobs"] == 20
    take_away(file_of(house), how)  # now only the one that sends has it open
    await keeper.says("deleted or replaced", times=2)
    assert (await status(house))["jobs"] == 20
    await house.start_broker()
    await house.recorder.count("ran", 20)
    await flush(house)
    assert house.recorder.ran() == {str(number): 1 for number in range(20)}


def take_away(file: Path, how: str) -> None:
    if how == "move":
        file.rename(file.with_suffix(".away"))
        return
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()


async def test_several_users_share_an_outbox(house: Cluster, shared: Path) -> None:
    here = str(shared / "outbox.db")
    first = await program(house, "as_user", "64001", "forward", ROUTEQ_OUTBOX=here)
    await first.says("forwards")
    for number, user in enumerate(("64002", "64003", "0")):
        producer = await program(
            house, "as_user", user, "produce", f"{number}0", "10", ROUTEQ_OUTBOX=here
        )
        assert await producer.ended() == 0, producer.output
    await house.recorder.count("ran", 30)
    await first.kill()
    last = await program(house, "as_user", "64004", "produce", "90", "10", ROUTEQ_OUTBOX=here)
    assert await last.ended() == 0, last.output
    await house.recorder.count("ran", 40)
    assert set(house.recorder.ran().values()) == {1}


async def test_a_lock_of_another_user_is_named_once_with_what_to_do(
    house: Cluster, shared: Path
) -> None:
    here = str(shared / "outbox.db")
    lock = shared / "outbox.db.lock"
    lock.touch(0o600)  # as an earlier version made it, of root
    other = await program(house, "as_user", "64001", "forward", ROUTEQ_OUTBOX=here)
    await other.says(f"Give its user write access to {lock}")
    first = await program(house, "as_user", "64001", "produce", "0", "10", ROUTEQ_OUTBOX=here)
    assert await first.ended() == 0, first.output
    assert first.output.count("may not send them") == 1
    owner = await program(house, "as_user", "0", "forward", ROUTEQ_OUTBOX=here)
    await house.recorder.count("ran", 10)
    assert other.output.count("may not send them") == 1
    await owner.kill()
    await other.says("forwards")  # the owner has shared the lock


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that a group may use; what pytest makes is for one user alone."""
    if os.geteuid() != 0:
        pytest.skip("only root may become other users")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2770)
        yield folder


async def test_a_command_without_a_file_says_what_is_missing(cluster: Cluster) -> None:
    code, output = await cluster.cli("outbox", "status")
    assert (code, "ROUTEQ_OUTBOX" in output) == (4, True)
    code, output = await cluster.cli("outbox", "flush", "--outbox", str(cluster.folder / "none.db"))
    assert (code, "no such file" in output) == (4, True)


async def test_chaos_links_are_cut_and_producers_killed_and_nothing_is_lost(house: Cluster) -> None:
    jobs = 10_000 if house.kind == "mosquitto" else 1_200
    with contextlib.ExitStack() as stack:
        disk = house.folder
        if os.geteuid() == 0:  # else on the disk that is there
            disk = stack.enter_context(small_disk(house.folder / "disk", 16))
        chaos = Chaos(house, jobs=jobs, seed=5, disk=disk)
        await chaos.run(patience=60.0)
    assert chaos.kills
    assert set(chaos.cuts) == {"reset", "refused", "half-open", "deleted"}
