"""Sealed jobs that are held, limited and handed over, on both brokers: no disk shows what they say.

`test_combinations` listens to the wire; here every file of broker and scheduler is searched, at a
moment when both hold jobs.
"""

from __future__ import annotations

from pathlib import Path

from routeq_mqtt import batch, chain
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.cluster.recorder import TIMEOUT
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


async def check_disks(cluster: Cluster, held: str, *processes: Process) -> None:
    """The scheduler holds jobs of a class, the broker a Part; nothing shows what these say.

    A mosquitto writes what it has when it is stopped.
    """
    assert cluster.broker is not None
    await cluster.stop_broker()
    holder = "mosquitto" if cluster.kind == "mosquitto" else "broker"
    assert "routeq" in files_with(cluster.folder, held)
    assert holder in files_with(cluster.folder, "Part")
    assert files_with(cluster.folder, SECRET) == set()
    for process in (cluster.broker, *processes):
        assert SECRET not in process.output
    await cluster.start_broker()
    async with cluster.bus() as bus:  # the scheduler is back: its link may wait some seconds
        await bus.requests.call("ping", timeout=TIMEOUT)


async def test_chains_and_batches_wait_sealed_and_run(cluster: Cluster) -> None:
    services = [await cluster.scheduler(**KEYS)]
    services += [await cluster.worker("default", *APP, **KEYS) for _ in range(2)]
    names = {word: f"{SECRET} {word}" for word in ("1", "2", "3", "good", "then", "catch", "end")}
    async with bus_of(cluster) as bus:
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
        await cluster.recorder.count("waits", 5)
        await cluster.recorder.count("ran", 1)  # catch
        await check_disks(cluster, "Part", *services)
        cluster.recorder.open("chain")
        cluster.recorder.open("batch")
        done = await over(whole)
        assert (done.done, done.failed) == (3, 0)
        failed = await over(broken)
        assert (failed.done, failed.failed) == (1, 1)
        await cluster.recorder.wait(lambda: set(cluster.recorder.ran()) == set(names.values()))
        [record] = await cluster.failed_records(bus, 1)
        assert (record["reason"], "broken" in record["error"]) == ("exception", False)
        # Until its failed record is gone, the batch's `then` stays held: a retry may complete it.
        await bus.requests.call("failed.forget", ids=[record["id"]])
        await settled(cluster, bus)
    ids = {event["id"]: event["key"] for event in cluster.recorder.named("ran")}
    assert [ids[job_id] for job_id in steps] == [names[step] for step in "123"]
    assert {key: cluster.recorder.ran()[names[key]] for key in ("then", "catch", "end")} == {
        "then": 1, "catch": 1, "end": 2,
    }  # fmt: skip


async def test_limited_jobs_that_a_worker_hands_over_stay_signed_and_sealed(
    cluster: Cluster,
) -> None:
    """A class's own limit, of a job that was sent by its name; and the limit of a queue."""
    services = [await cluster.scheduler(**KEYS)]
    services += [await cluster.worker("default", *APP, **KEYS) for _ in range(2)]
    async with bus_of(cluster) as bus:
        await bus.dispatch(Part(key=SECRET, gate="part"))
        for number in range(3):
            data = {"device": "A", "key": f"{SECRET} {number}", "gate": "A"}
            await bus.dispatch_named("PerDevice", data)
        await cluster.recorder.count("waits", 2)
        await waiting(cluster, bus, 2, running=1)
        await check_disks(cluster, "PerDevice", *services)
        cluster.recorder.open("A")
        cluster.recorder.open("part")
        await cluster.recorder.count("ran", 4)
        await settled(cluster, bus)
        await bus.limit_queue("default", (1, 3600))
        await bus.bulk(Report(key=f"{SECRET} {number}") for number in range(3))
        await cluster.recorder.count("ran", 5)
        await waiting(cluster, bus, 2)
        assert files_with(cluster.folder, SECRET) == set()
        await bus.limit_queue("default", None)
        await cluster.recorder.count("ran", 7)
        assert await bus.requests.call("failed.list") == []
