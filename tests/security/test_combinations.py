"""Signed and sealed jobs with everything else that a bus does: on a bus in one process."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, Job, JobFailed, Retry, batch, chain
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import MemoryBus
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages.trigger import Trigger
from routeq_mqtt.worker.options import WorkerOptions

DAY = 86_400.0
CARD = "4111-1111"
SEALING = f"e1:{base64.b64encode(bytes(32)).decode()}"
BOTH: dict[str, Any] = {"signing_keys": "k1:secret", "encryption_keys": SEALING}
NEWER = {
    "signing_keys": "k2:newer",
    "encryption_keys": f"e2:{base64.b64encode(bytes([2]) * 32).decode()}",
}
TOPICS = ("schedule", "store/+", "failed", "result", "events/+", "workers/+", "rpc/+", "reply/+")
SAID: asyncio.Queue[str] = asyncio.Queue()


class Note(Job):
    result_ttl = 60
    text: str

    async def handle(self) -> str:
        SAID.put_nowait(self.text)
        return f"paid with {CARD}"


class Only(Note):
    unique_for = 60


class Settled(Note):
    debounce_for = 0.5

    def unique_key(self) -> str:
        return "all"


class Moody(Job):
    """Asks for another try, then raises, then works."""

    retry_after = 0.0
    text: str

    async def handle(self) -> None:
        if self.attempts == 1:
            raise Retry("not yet")
        if self.attempts == 2:
            raise ValueError(self.text)
        SAID.put_nowait(self.text)


class Broken(Job):
    max_tries = 1
    works = False
    text: str

    async def handle(self) -> None:
        if not Broken.works:
            raise ValueError(self.text)
        SAID.put_nowait(self.text)


class ClockJumps(SystemClock):
    """Its wall clock is turned forward; waiting goes on as ever."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    global SAID  # noqa: PLW0603 - a queue belongs to one loop
    SAID = asyncio.Queue()
    Broken.works = False


async def said(number: int) -> list[str]:
    async with asyncio.timeout(10):
        return sorted([await SAID.get() for _ in range(number)])


@asynccontextmanager
async def bus_with(
    *queues: str, clock: ClockJumps | None = None, **settings: Any
) -> AsyncIterator[MemoryBus]:
    async with MemoryBus(*queues, clock=clock, settings=Settings(**settings)) as bus:
        yield bus


def stranger(bus: MemoryBus, **settings: Any) -> Bus:
    """Another bus of the same broker, with other keys."""
    return Bus(settings=Settings(**settings), transport=bus.transport)


@asynccontextmanager
async def overheard(bus: MemoryBus) -> AsyncIterator[list[bytes]]:
    """Everything that travels on the bus meanwhile."""
    heard: list[bytes] = []

    def hear(message: Message) -> None:
        heard.append(bytes(message.payload))

    async with stranger(bus) as spy:
        await spy.sender.listen(["queue/+", *(f"routeq/{topic}" for topic in TOPICS)], hear)
        yield heard
        await spy.sender.caught_up()


def on_disk(file: Path) -> bytes:
    """A database with its journal."""
    return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))


async def in_any_way(bus: Bus) -> int:
    await bus.dispatch(Note(text=CARD))
    await bus.dispatch(Note(text=CARD), confirm="stored", headers={"tenant": "a"})
    await bus.later(0.02, Note(text=CARD))
    await bus.bulk([Note(text=CARD), Note(text=CARD)])
    await bus.dispatch_named("Note", {"text": CARD}, queue="default")
    await bus.dispatch(Moody(text=CARD))
    return 7


async def in_order(bus: Bus) -> int:
    await chain(Note(text=CARD), Moody(text=CARD), Note(text=CARD)).dispatch(bus)
    return 3


async def together(bus: Bus) -> int:
    jobs = [Note(text=CARD), Moody(text=CARD)]
    await batch(jobs).then(Note(text=CARD)).finally_(Note(text=CARD)).dispatch(bus)
    return 4


async def admitted(bus: Bus) -> int:
    """The second one is turned away; the last word of a debounced job is put into the first."""
    assert await bus.dispatch(Only(text=CARD)) == await bus.dispatch(Only(text=CARD))
    first = await bus.dispatch(Settled(text="not this"))
    assert await bus.dispatch(Settled(text=CARD)) == first
    return 2


async def to_devices(bus: Bus) -> int:
    async with asyncio.timeout(10):
        while not await bus.devices():
            pass
    await bus.dispatch(Note(text=CARD), to="roof")
    await bus.broadcast(Note(text=CARD), where={"site": "north"})
    await bus.broadcast(Note(text=CARD), where={"site": "north"}, rate=(10, 1), abort_after=0.5)
    return 3


@pytest.mark.parametrize("way", [in_any_way, in_order, together, admitted, to_devices])
async def test_sealed_jobs_run_and_nobody_reads_them_on_their_way(
    way: Callable[[Bus], Awaitable[int]],
) -> None:
    async with bus_with(**BOTH) as bus, overheard(bus) as heard:
        options = WorkerOptions(name="roof", tags={"site": "north"}, guard=bus.guard)
        await bus.worker(options=options)
        number = await way(bus)
        assert await said(number) == [CARD] * number
        assert await bus.requests.call("failed.list") == []
    assert heard
    assert not any(CARD.encode() in payload for payload in heard)


async def test_a_sealed_job_waits_sealed_in_an_outbox(tmp_path: Path) -> None:
    file = tmp_path / "outbox.db"
    async with bus_with("default", outbox=str(file), **BOTH) as bus:
        bus.broker.stop()
        await bus.dispatch(Note(text=CARD))
        await bus.later(0.01, Note(text=CARD))
        kept = on_disk(file)
        assert b"Note" in kept
        assert CARD.encode() not in kept
        bus.broker.start()
        assert await said(2) == [CARD, CARD]


async def test_a_result_and_an_error_of_a_sealed_job_are_sealed() -> None:
    async with bus_with("default", **BOTH) as bus, overheard(bus) as heard:
        done = await bus.dispatch(Note(text="x"))
        failed = await bus.dispatch(Broken(text=CARD))
        assert await done.result(timeout=10) == f"paid with {CARD}"
        with pytest.raises(JobFailed, match=f"ValueError: {CARD}"):
            await failed.result(timeout=10)
        assert (await failed.status()).error == f"ValueError: {CARD}"
        async with stranger(bus) as curious:
            with pytest.raises(RefusedJob, match="set ROUTEQ_ENCRYPTION_KEYS"):
                await curious.result(done, timeout=10)
            with pytest.raises(JobFailed, match=r"exception: hidden: the job was sealed$"):
                await curious.result(failed, timeout=10)
        async with stranger(bus, encryption_keys=NEWER["encryption_keys"]) as mistaken:
            with pytest.raises(RefusedJob, match="key 'e1' is not one of ours"):
                await mistaken.result(done, timeout=10)
    assert not any(CARD.encode() in payload for payload in heard)


async def test_a_result_belongs_to_its_job() -> None:
    guard = Settings(**BOTH).guard()
    sealed = guard.sealer.seal_result(b"\xc0", "1") if guard.sealer else b""
    assert guard.plain_result(sealed, "1") == b"\xc0"
    for forged in (sealed[:-1], sealed[:1], sealed + b"x", b"\xc1\xc0"):
        with pytest.raises(RefusedJob):
            guard.plain_result(forged, "1")
    with pytest.raises(RefusedJob, match="belongs to another job"):
        guard.plain_result(sealed, "2")


async def test_triggers_and_schedules_send_what_the_scheduler_signs_and_seals() -> None:
    async with bus_with(**BOTH) as bus:
        trigger = Trigger(pattern="devices/{text}/now", job="Note", queue="default")
        await bus.worker(options=WorkerOptions(guard=bus.guard, triggers=(trigger,)))
        async with asyncio.timeout(10):
            while not await bus.requests.call("trigger.list"):
                pass
        template = Envelope(job="Note", data={"text": "tick"}, queue="default").encode()
        often = {"name": "often", "every": 3_600.0, "envelope": template}
        await bus.requests.call("schedule.announce", schedules=[often])
        await bus.requests.call("schedule.run", name="often")
        connection = await bus.sender.link.ready()
        await connection.publish("devices/roof/now", b"{}")
        assert await said(2) == ["roof", "tick"]
        assert await bus.requests.call("failed.list") == []


# -- run again by hand -------------------------------------------------------------------------


async def failed_records(bus: Bus, number: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while len(records := await bus.requests.call("failed.list")) != number:
            pass
    return list(records)


async def retry(bus: Bus, *ids: str) -> Any:
    return await bus.requests.call("failed.retry", ids=list(ids), all=not ids)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("older", [BOTH, {"signing_keys": BOTH["signing_keys"]}])
async def test_a_failed_job_runs_again_after_a_month_and_with_newer_keys(
    older: dict[str, Any], named: bool
) -> None:
    """The one who runs it then has only the newer keys."""
    clock = ClockJumps()
    newer: dict[str, Any] = {name: NEWER[name] for name in older}
    keys = {name: f"{NEWER[name]},{key}" for name, key in older.items()}
    async with bus_with(clock=clock, **keys) as bus:
        first = await bus.worker()
        async with stranger(bus, **older) as producer:
            expires_at = clock.now() + DAY
            job_id = str(await producer.dispatch(Broken(text=CARD), expires_at=expires_at))
        await failed_records(bus, 1)
        first.stop()
        async with asyncio.timeout(10):
            while any(bus.sizes.fleet.online()):
                await bus.sizes.refresh()
        clock.ahead, Broken.works = 30 * DAY, True
        await bus.worker(options=WorkerOptions(guard=Settings(**newer).guard()))
        answer = await retry(bus, *([job_id] if named else []))
        assert answer == {"retried": [job_id], "skipped": []}
        assert await said(1) == [CARD]
        await failed_records(bus, 0)


async def test_a_job_that_came_too_late_runs_again_only_by_its_name() -> None:
    """It may be an old one that somebody has sent again."""
    clock = ClockJumps()
    async with bus_with(clock=clock, **BOTH) as bus:
        old = bus.guard.dress(bus.envelope(Note(text="late")), clock.now())
        job_id = str(old.id)
        clock.ahead = 8 * DAY
        connection = await bus.sender.link.ready()
        await connection.publish("$queue/default", old.encode())
        await bus.worker("default")
        [record] = await failed_records(bus, 1)
        assert record["reason"] == "refused"
        answer = await retry(bus)
        assert answer["retried"] == []
        [skipped] = answer["skipped"]
        assert "it held until" in skipped["error"]
        assert "name it (failed retry <id>)" in skipped["error"]
        assert (await retry(bus, job_id))["retried"] == [job_id]
        assert await said(1) == ["late"]


async def test_what_nobody_could_run_is_not_tried_again_but_kept() -> None:
    """Forged, unsigned, or of a key that was taken out: back with that key, it runs."""
    async with bus_with("default", signing_keys="k2:new") as bus:
        async with stranger(bus, signing_keys="k1:old") as older:
            await older.dispatch(Note(text="of an old key"))
        async with stranger(bus) as unsigned:
            await unsigned.dispatch(Note(text="unsigned"))
        records = await failed_records(bus, 2)
        [gone] = [one["id"] for one in records if "'k1'" in one["error"]]
        [bare] = [one["id"] for one in records if "there is none" in one["error"]]
        for ids in ((), (gone, bare)):
            answer = await retry(bus, *ids)
            assert answer["retried"] == []
            errors = {one["id"]: one["error"] for one in answer["skipped"]}
            assert "the key 'k1' is not one of ours" in errors[gone]
            assert "there is none" in errors[bare]
        kept = await bus.requests.call("failed.show", id=gone)
        envelope = Envelope.decode(kept["envelope"])
    both = Settings(signing_keys="k2:new,k1:old").guard()
    assert both.run_again(envelope, 0.0).extra["signed"]["key"] == "k2"


class OneSlot(Note):
    concurrency_limit = 1


async def test_the_replay_window_counts_from_when_the_scheduler_took_a_job() -> None:
    """However long it then waits: for a worker, or for its limit."""
    clock = ClockJumps()
    async with bus_with(clock=clock, **BOTH) as bus:
        for _ in range(2):
            await bus.dispatch(OneSlot(text=CARD))
        await bus.dispatch(Note(text=CARD), confirm="stored")
        clock.ahead += 30 * DAY
        await bus.worker("default")
        assert await said(3) == [CARD] * 3
        assert await bus.requests.call("failed.list") == []


@pytest.mark.parametrize("says", [{}, {"taken_at": 1.0}, {"taken_at": "now"}])
async def test_a_job_that_came_after_its_window_is_refused_as_ever(says: dict[str, Any]) -> None:
    clock = ClockJumps()
    async with bus_with(clock=clock, **BOTH) as bus:
        old = bus.guard.dress(bus.envelope(Note(text=CARD)), clock.now())
        old = old.evolve(extra={**old.extra, **says})
        clock.ahead += 30 * DAY
        connection = await bus.sender.link.ready()
        await connection.publish("$queue/default", old.encode())
        await bus.worker("default")
        async with asyncio.timeout(10):
            while not (records := await bus.requests.call("failed.list")):
                pass
    assert [record["reason"] for record in records] == ["refused"]
    assert "replay window" in records[0]["error"]
