"""Messages without an id, alike to the byte, over restarts, deaths and packet ids that come again.

Devices send nothing else. Each of them that was acknowledged runs, and runs once.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from routeq_mqtt import ConnectionFailed
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID, Topics
from routeq_mqtt.transport.address import BrokerAddress
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS, Connection, ConnectOptions
from routeq_mqtt.wire.ids import new_id
from tests.faults.at_once import at_once
from tests.faults.site import Site

_READINGS = "sensors/1/x"
_PACKET_IDS = 65_535
_READING = b'{"key": "same"}'
_GARBAGE = b"\xc1 no envelope"


@asynccontextmanager
async def device(site: Site, name: str = "device") -> AsyncIterator[Connection]:
    """A client that knows nothing of the library; where the broker is just starting, it waits."""
    transport = AioTransport(BrokerAddress(port=site.cluster.port))
    async with asyncio.timeout(30.0):
        while True:
            try:
                connection = await transport.connect(ConnectOptions(name), lambda message: None)
                break
            except ConnectionFailed:
                await asyncio.sleep(0.05)
    yield connection
    await connection.close()


async def send(site: Site, number: int, topic: str = _READINGS, payload: bytes = _READING) -> None:
    """So many messages, alike to the byte; returns when somebody has each of them."""
    async with device(site) as connection:
        while number:
            sent = [connection.publish(topic, payload) for _ in range(number)]
            reasons = await asyncio.gather(*sent)
            number = reasons.count(NO_MATCHING_SUBSCRIBERS)  # the workers are not back yet


async def ran(site: Site, number: int) -> None:
    """So many have run; and no more, when one that came behind them all has run, too."""
    await site.until("end", number)
    last = new_id()
    await send(site, 1, payload=json.dumps({"key": last}).encode())
    async with asyncio.timeout(60.0):
        while not any(line["key"] == last for line in site.events("end")):
            await asyncio.sleep(0.05)
    assert sum(line["key"] == "same" for line in site.events("end")) == number


async def forget(site: Site) -> None:
    """The embedded broker restarts; mosquitto does, too, and has lost its file."""
    await site.cluster.stop_broker()
    (site.cluster.folder / "mosquitto.db").unlink(missing_ok=True)
    await site.cluster.start_broker()


async def scheduler_is_back(site: Site) -> None:
    """It has subscribed again: it answers."""
    async with site.cluster.bus() as bus:
        await site.cluster.failed_records(bus, 0)


async def start_worker(site: Site, *flags: str) -> None:
    worker = await site.start_worker("--trigger", "sensors/+/x=Work", *flags)
    await worker.says("declared")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["polite", "kill -9"])
@at_once
async def test_a_worker_runs_each_message_over_a_restart_of_the_broker(
    site: Site, how: signal.Signals
) -> None:
    """What was given back comes again; what ended before the restart does not.

    Where the broker gives no ids, jobs go to the workers' own topic, as by hand. An older state of
    mosquitto, after its kill, would be allowed to run some twice: it is not killed here.
    """
    topics = Topics()
    embedded = site.cluster.shares_queue
    topic = topics.intake("default") if embedded else topics.delivery("default")
    job = json.dumps({"job": "Work", "data": {"key": "same", "seconds": 0.12}}).encode()
    await site.start_scheduler()
    await start_worker(site, "--concurrency", "2", "--prefetch", "20")
    for number in (60, 120):
        await send(site, 60, topic, job)
        await send(site, 20, topic, _GARBAGE)
        await site.until("end", number)
        async with site.cluster.bus() as bus:
            await site.cluster.failed_records(bus, number // 3)
        if number == 60:
            await site.cluster.restart_broker(how if embedded else signal.SIGTERM)
            await scheduler_is_back(site)
    await ran(site, 120)
    async with site.cluster.bus() as bus:
        assert len(await site.cluster.failed_records(bus, 40)) == 40


@at_once
async def test_a_broker_without_its_memory_and_a_dead_scheduler_lose_no_reading(site: Site) -> None:
    """The packet ids of the new session are those of the old one; nothing else is alike."""
    scheduler = await site.start_scheduler()
    await start_worker(site, "--concurrency", "5")
    await send(site, 300)
    await ran(site, 300)
    await forget(site)
    await scheduler_is_back(site)
    await ran(site, 300)
    scheduler.send(signal.SIGSTOP)
    await send(site, 300)
    await site.kill_scheduler()
    await site.start_scheduler()
    await ran(site, 600)


@at_once
async def test_a_scheduler_that_dies_half_way_again_and_again_takes_each_reading_once(
    site: Site,
) -> None:
    await site.start_scheduler()
    await start_worker(site, "--concurrency", "5")
    await send(site, 100)
    await ran(site, 100)
    for number, step in enumerate(("before commit", "after commit"), 2):
        await site.kill_scheduler()
        await send(site, 100)
        dying = await site.start_dying_scheduler(step)
        await dying.ended()
        assert "dies at: " in dying.output, dying.output
        await site.start_scheduler()
        await ran(site, 100 * number)


@at_once
async def test_packet_ids_that_come_again_lose_no_reading(site: Site) -> None:
    """No fault of any broker: as many other messages as there are packet ids lie in between."""
    scheduler = await site.start_scheduler()
    await start_worker(site, "--concurrency", "5")
    await send(site, 600)
    await ran(site, 600)
    others = Topics().session(SCHEDULER_CLIENT_ID).replace("/session/", "/probe/")
    async with device(site, "others") as connection:
        for _ in range(0, _PACKET_IDS - 600, 1_000):
            await connection.publish_many([(others, b"")] * 1_000)
    await ran(site, 600)
    scheduler.send(signal.SIGSTOP)
    await send(site, 600)
    await site.kill_scheduler()
    await site.start_scheduler()
    await ran(site, 1_200)


def break_failed_records(site: Site, function: str | None) -> None:
    """Whatever stores a failed record calls a function that SQLite does not have; None: no more."""
    with closing(sqlite3.connect(site.db)) as db:
        db.execute("DROP TRIGGER IF EXISTS broken")
        if function is not None:
            then = f"BEGIN SELECT {function}(); END"
            db.execute(f"CREATE TRIGGER broken BEFORE INSERT ON failed {then}")


@at_once
async def test_a_commit_that_fails_half_way_gives_each_message_one_id(site: Site) -> None:
    """Its rows are on disk, its failed record is not: the database has a trigger that fails."""
    scheduler = await site.start_scheduler()
    await start_worker(site)
    break_failed_records(site, "one")
    scheduler.send(signal.SIGSTOP)  # so that all of it comes in one commit
    await send(site, 5)
    await send(site, 2, Topics().schedule, _GARBAGE)
    scheduler.send(signal.SIGCONT)
    for name, following in (("one", "two"), ("two", "three"), ("three", None)):
        await scheduler.says(f"no such function: {name}")  # it tells each cause once
        break_failed_records(site, following)
    await ran(site, 5)
    async with site.cluster.bus() as bus:
        assert len(await site.cluster.failed_records(bus, 2)) == 2
