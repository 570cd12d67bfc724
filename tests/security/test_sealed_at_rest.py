"""Sealed jobs that are held, limited and handed over, on both brokers: no disk shows what they say.

`test_combinations` listens to the wire; here every file of broker and scheduler is searched, at a
moment when both hold jobs.
"""

from __future__ import annotations

from pathlib import Path

from routeq_mqtt import batch, chain
from tests.bed.bed import Bed
from tests.bed.jobs import Report
from tests.bed.process import Process
from tests.bed.recorder import TIMEOUT
from tests.features.jobs import Part
from tests.features.test_flows import over, settled
from tests.features.test_queue_limits import waiting
from tests.security.test_signed_jobs import KEYS, bus_of

APP = ("--app", "tests.features.jobs")
SECRET = "plaintext-4111"  # noqa: S105 - the jobs' data


def files_with(folder: Path, text: str) -> set[str]:
    """Databases of broker and scheduler, their journals included, that contain a text."""
    found = (path for path in folder.glob("*.db*") if text.encode() in path.read_bytes())
    return {path.name.split(".")[0] for path in found}


async def check_disks(bed: Bed, held: str, *processes: Process) -> None:
    """The scheduler holds jobs of a class, the broker a Part; nothing shows what these say.

    A mosquitto writes what it has when it is stopped.
    """
    assert bed.broker is not None
    await bed.stop_broker()
    holder = "mosquitto" if bed.kind == "mosquitto" else "broker"
    assert "routeq" in files_with(bed.folder, held)
    assert holder in files_with(bed.folder, "Part")
    assert files_with(bed.folder, SECRET) == set()
    for process in (bed.broker, *processes):
        assert SECRET not in process.output
    await bed.start_broker()
    async with bed.bus() as bus:  # the scheduler is back: its link may wait some seconds
        await bus.requests.call("ping", timeout=TIMEOUT)


async def test_chains_and_batches_wait_sealed_and_run(bed: Bed) -> None:
    services = [await bed.scheduler(**KEYS)]
    services += [await bed.worker("default", *APP, **KEYS) for _ in range(2)]
    names = {word: f"{SECRET} {word}" for word in ("1", "2", "3", "good", "then", "catch", "end")}
    async with bus_of(bed) as bus:
        first = Part(key=names["1"], gate="chain")
        steps = await chain(first, Part(key=names["2"]), Part(key=names["3"])).dispatch(bus)
        good = [Part(key=names["good"], gate="batch") for _ in range(3)]
        whole = await (
            batch(good).then(Part(key=names["then"])).catch(Part(key=names["catch"]))
            .finally_(Part(key=names["end"])).dispatch(bus)
        )  # fmt: skip
        parts = [Part(key=names["good"], gate="batch"), Part(key=SECRET, fails=True)]
        broken = await (
            batch(parts).then(Part(key=names["then"])).catch(Part(key=names["catch"]))
            .finally_(Part(key=names["end"])).dispatch(bus)
        )  # fmt: skip
        await bed.recorder.count("waits", 5)
        await bed.recorder.count("ran", 1)  # catch
        await check_disks(bed, "Part", *services)
        bed.recorder.open("chain")
        bed.recorder.open("batch")
        done = await over(whole)
        assert (done.done, done.failed) == (3, 0)
        failed = await over(broken)
        assert (failed.done, failed.failed) == (1, 1)
        await bed.recorder.wait(lambda: set(bed.recorder.ran()) == set(names.values()))
        await settled(bed, bus)
        [record] = await bed.failed_records(bus, 1)
        assert (record["reason"], "broken" in record["error"]) == ("exception", False)
    ids = {event["id"]: event["key"] for event in bed.recorder.named("ran")}
    assert [ids[job_id] for job_id in steps] == [names[step] for step in "123"]
    assert {key: bed.recorder.ran()[names[key]] for key in ("then", "catch", "end")} == {
        "then": 1, "catch": 1, "end": 2,
    }  # fmt: skip


async def test_limited_jobs_that_a_worker_hands_over_stay_signed_and_sealed(bed: Bed) -> None:
    """A class's own limit, of a job that was sent by its name; and the limit of a queue."""
    services = [await bed.scheduler(**KEYS)]
    services += [await bed.worker("default", *APP, **KEYS) for _ in range(2)]
    async with bus_of(bed) as bus:
        await bus.dispatch(Part(key=SECRET, gate="part"))
        for number in range(3):
            data = {"device": "A", "key": f"{SECRET} {number}", "gate": "A"}
            await bus.dispatch_named("PerDevice", data)
        await bed.recorder.count("waits", 2)
        await waiting(bed, bus, 2, running=1)
        await check_disks(bed, "PerDevice", *services)
        bed.recorder.open("A")
        bed.recorder.open("part")
        await bed.recorder.count("ran", 4)
        await settled(bed, bus)
        await bus.limit_queue("default", (1, 3600))
        await bus.bulk(Report(key=f"{SECRET} {number}") for number in range(3))
        await bed.recorder.count("ran", 5)
        await waiting(bed, bus, 2)
        assert files_with(bed.folder, SECRET) == set()
        await bus.limit_queue("default", None)
        await bed.recorder.count("ran", 7)
        assert await bus.requests.call("failed.list") == []
