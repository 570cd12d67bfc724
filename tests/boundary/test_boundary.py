"""Whatever users' code raises, wherever: its job ends with the right error, and nothing else does.

A table of places and exceptions, all in one worker: none of its slots may be lost on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from routeq_mqtt import Bus, on, remove_hook
from tests.boundary.jobs import (
    ERRORS,
    PLACES,
    CancelsItself,
    Failed,
    FailedThread,
    Generates,
    GeneratesInAProcess,
    Hooked,
    Maker,
    Releases,
    Result,
    raises,
)
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated

_SLOTS = 4

_FAILS = {"Fail", "Fail in a group", "Fail at depth", "Fail among many"}
_ASKED = {"NoClass", "NoAttribute"}
_NOT_RETRIED = {"FileNotFoundError", *_FAILS}


async def _worker(cluster: Cluster) -> None:
    flags = [] if cluster.kind == "memory" else ["--app", "tests.boundary.jobs"]
    await cluster.worker("default", *flags, "--concurrency", str(_SLOTS))


async def _records(cluster: Cluster, bus: Bus, ids: dict[str, tuple[str, str]]) -> dict[Any, Any]:
    """The failed record of each job, by place and exception."""
    rows: list[dict[str, Any]] = []

    def all_there(found: list[dict[str, Any]]) -> bool:
        rows[:] = found
        return len(found) >= len(ids)

    try:
        await cluster.ask_until(bus, "failed.list", all_there, limit=1_000)
    except TimeoutError:
        missing = [ids[one] for one in ids.keys() - {row["id"] for row in rows}]
        raise AssertionError(f"without a record: {missing}") from None
    assert len(rows) == len(ids)
    return {ids[row["id"]]: await bus.requests.call("failed.show", id=row["id"]) for row in rows}


async def _all_slots_live(cluster: Cluster, bus: Bus) -> None:
    before = len(cluster.recorder.named("waits"))
    for number in range(_SLOTS):
        await bus.dispatch(Gated(key=f"slot {number}", gate="end"))
    await cluster.recorder.count("waits", before + _SLOTS)
    cluster.recorder.open("end")
    await cluster.recorder.wait(
        lambda: all(f"slot {number}" in cluster.recorder.ran() for number in range(_SLOTS))
    )


@pytest.mark.memory
async def test_what_a_run_raises_is_a_retry_or_a_record_with_that_error(cluster: Cluster) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        ids: dict[str, tuple[str, str]] = {}
        for place in PLACES:
            for what in ERRORS:
                handle = await bus.dispatch(place(what=what))
                ids[handle.id] = (place.__name__, what)
        records = await _records(cluster, bus, ids)
        await _all_slots_live(cluster, bus)
    wrong = []
    # Python closes all coroutines on the way of this one: it is not an attempt like others.
    assert records.pop(("Future", "GeneratorExit"))["reason"] == "exception"
    for (place, what), record in records.items():
        reason, attempts = "exception", 2
        if what in _NOT_RETRIED and place != "Compared":
            attempts = 1
            reason = "not to be retried" if what == "FileNotFoundError" else "failed on purpose"
        elif what in _FAILS:
            reason, attempts = "failed on purpose", 1
        found = (record["reason"], len(record["attempts"]))
        # Those two say it of themselves where asyncio asks them what they are.
        said = "Panic" if place == "Future" and what in _ASKED else what.split()[0]
        if found != (reason, attempts) or said not in record["error"]:
            wrong.append((place, what, found, record["error"][:200]))
    assert not wrong, wrong


@pytest.fixture
def hooks() -> Iterator[None]:
    on("started", "done")(raises)
    yield
    remove_hook(raises)


@pytest.mark.memory
@pytest.mark.usefixtures("hooks")
async def test_what_raises_beside_a_run_ends_that_job_alone(cluster: Cluster) -> None:
    """Constructors, `failed()`, results and hooks."""
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        ids: dict[str, tuple[str, str]] = {}
        for what in ERRORS:
            for place in (Failed, FailedThread, Result):
                handle = await bus.dispatch(place(what=what))
                ids[handle.id] = (place.__name__, what)
            made = Maker()
            vars(made)["what"] = what
            ids[(await bus.dispatch(made)).id] = ("Maker", what)
            await bus.dispatch(Hooked(what=what))
        records = await _records(cluster, bus, ids)
        await cluster.recorder.wait(lambda: all(what in cluster.recorder.ran() for what in ERRORS))
        await _all_slots_live(cluster, bus)
    reasons = {
        "Failed": ("exception", "of handle"),
        "FailedThread": ("exception", "of handle"),
        "Maker": ("unreadable", ""),
        "Result": ("its result cannot travel", ""),
    }
    wrong = []
    for (place, what), record in records.items():
        reason, text = reasons[place]
        if record["reason"] != reason or text not in record["error"] or not record["error"]:
            wrong.append((place, what, record["reason"], record["error"][:200]))
    assert not wrong, wrong


@pytest.mark.memory
async def test_a_key_that_a_worker_asks_for_may_raise(cluster: Cluster) -> None:
    """A device sends a unique job: its class is known to the worker alone."""
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        ids: dict[str, tuple[str, str]] = {}
        for what in ERRORS:
            job_id = f"device {what}"
            ids[job_id] = ("Keyed", what)
            message = {"id": job_id, "job": "Keyed", "data": {"what": what}}
            await connection.publish("$queue/default", json.dumps(message).encode())
        records = await _records(cluster, bus, ids)
        await _all_slots_live(cluster, bus)
    for (_, what), record in records.items():
        assert what.split()[0] in record["error"], (what, record["error"][:200])


@pytest.mark.memory
async def test_a_job_that_cancels_its_own_task_stops_nothing_else(cluster: Cluster) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        for _ in range(_SLOTS):
            await bus.dispatch(CancelsItself(key="at once"))
            await bus.dispatch(CancelsItself(key="late"))
        await cluster.recorder.wait(lambda: cluster.recorder.ran().get("late", 0) >= _SLOTS)
        await _all_slots_live(cluster, bus)


@pytest.mark.memory
async def test_a_release_in_a_group_is_no_attempt_unless_there_was_an_error_too(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Releases())
        await bus.dispatch(Releases(beside=True))
        await cluster.recorder.count("ran", 2)
    attempts = {event["key"]: event["attempt"] for event in cluster.recorder.named("ran")}
    assert attempts == {"beside=False": 1, "beside=True": 2}


async def test_a_generator_of_which_nothing_has_run_is_no_job_that_is_done(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    await _worker(cluster)
    async with cluster.bus() as bus:
        await bus.dispatch(Generates())
        await bus.dispatch(GeneratesInAProcess())
        records = await cluster.failed_records(bus, 2)
    assert all("returned a generator" in record["error"] for record in records), records
