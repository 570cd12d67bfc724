"""What is left of a result when its time is over: that the job has ended, for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.scheduler.store import results as module
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.results import Results
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.envelopes.result import JobResult
from routeq_mqtt.wire.ids import made_at
from routeq_mqtt.wire.messages import requests

DAY = 86_400.0
BEGAN = 1_700_000_000.0


class Time:
    def __init__(self) -> None:
        self.at = BEGAN

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def job_id(at: float, number: int = 0) -> str:
    return f"{int(at * 1_000):012x}7000{number:016x}"


@pytest.fixture
async def store(place: DatabasePlace) -> AsyncIterator[Store]:
    one = await Store.open(place)
    yield one
    await one.close()


async def ask(results: Results, asked: str) -> dict[str, Any]:
    answer: dict[str, Any] = await results.methods[requests.Result](requests.Result(id=asked))  # type: ignore[assignment]
    return answer


def returned(asked: str, ttl: float = 60.0) -> JobResult:
    return JobResult(id=asked, attempt=1, value=b"v", ttl=ttl)


async def test_that_a_job_has_ended_is_known_longer_than_its_result(store: Store) -> None:
    clock = Time()
    results = Results(store.database, Fleet(Topics()), clock)
    known, waits = job_id(BEGAN), job_id(BEGAN, 1)
    await results.keep([(returned(known), False)])
    assert await ask(results, known) == {"state": "done", "attempt": 1, "value": b"v"}
    for later in (60.0, 6 * DAY):
        clock.at = BEGAN + later
        await results.purge(clock.at)
        assert await ask(results, known) == {"state": "done", "attempt": 1}
        assert await ask(results, waits) == {"state": "pending"}
    clock.at = BEGAN + 8 * DAY
    await results.purge(clock.at)
    assert await store.database.read("SELECT * FROM results") == []
    assert (await ask(results, known))["state"] == "unknown"  # no wait: it is too old
    assert await ask(results, job_id(clock.at)) == {"state": "pending"}
    assert await ask(results, "an id of a device") == {"state": "pending"}


async def test_no_more_than_so_many_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ENDED_AT_MOST", 10)
    clock = Time()
    results = Results(store.database, Fleet(Topics()), clock)
    ids = [job_id(BEGAN + number) for number in range(30)]
    for number, one in enumerate(ids):
        clock.at = BEGAN + number
        await results.keep([(returned(one), False)])
    clock.at = BEGAN + 3_600
    await results.purge(clock.at)
    states = [(await ask(results, one))["state"] for one in ids]
    assert states == ["unknown"] * 20 + ["done"] * 10
    assert await ask(results, job_id(BEGAN + 200)) == {"state": "pending"}


def test_an_id_tells_when_it_was_made() -> None:
    assert made_at(job_id(BEGAN)) == BEGAN
    assert made_at("sensor-7") is None
    assert made_at("g" * 12 + "7" + "0" * 19) is None
