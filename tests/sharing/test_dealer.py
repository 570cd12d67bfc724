"""Which session gets a row, and how many workers are looked at to find out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.presence.status import WIRE, WorkerLoad, WorkerStatus, encode
from routeq_mqtt.scheduler.release.dealer import Dealer
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS

MANY = 1_000
BATCH = 500


class Bench:
    """A dealer and the workers that it knows of."""

    def __init__(self) -> None:
        self.topics = Topics()
        self.fleet = Fleet(self.topics)
        context = SimpleNamespace(
            topics=self.topics,
            fleet=self.fleet,
            clock=SimpleNamespace(monotonic=lambda: 0.0),
            orders=SimpleNamespace(has=lambda kind, *names: False),
        )
        self.dealer = Dealer(cast("Any", context))

    def worker(self, name: str, queues: list[str], slots: int, running: int = 0) -> None:
        load = WorkerLoad(active={queues[0]: running} if running else {})
        self.fleet.fold(self.topics.running(name), encode(load), now=0.0)
        sessions = [f"{name}/{queue}" for queue in queues]
        status = WorkerStatus(
            id=name, state="online", queues=queues, sessions=sessions, concurrency=slots, wire=WIRE
        )
        self.fleet.fold(self.topics.worker(name), encode(status), now=0.0)

    def topic(self, worker: int, queue: str) -> str:
        return self.topics.deal(f"{worker}/{queue}")


def test_a_row_costs_one_look_however_many_workers_there_are() -> None:
    bench = Bench()
    for number in range(MANY):
        bench.worker(str(number), ["a"], 10)
    dealt = bench.dealer.deal(["a"] * BATCH)
    assert dealt == [bench.topic(number, "a") for number in range(BATCH)]
    assert bench.dealer.looks == MANY + BATCH


def test_rows_of_two_queues_of_the_same_workers_cost_few_looks_each() -> None:
    bench = Bench()
    for number in range(MANY):
        bench.worker(str(number), ["a", "b"], 10)
    dealt = bench.dealer.deal(["a", "b"] * BATCH)
    assert len({str(topic).split("/")[2] for topic in dealt}) == MANY  # a row for each
    assert bench.dealer.looks <= 2 * MANY + 3 * len(dealt)


WORKERS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 8), st.booleans()), max_size=6)


@given(workers=WORKERS, queues=st.lists(st.sampled_from("ab"), max_size=30))
def test_each_row_goes_to_the_worker_whose_slots_are_taken_least(
    workers: list[tuple[int, int, bool]], queues: list[str]
) -> None:
    bench = Bench()
    held = [running for _, running, _ in workers]
    for number, (slots, running, both) in enumerate(workers):
        bench.worker(str(number), ["a", "b"] if both else ["a"], slots, running)
    expected: list[str | None] = []
    for queue in queues:
        serving = [n for n, (_, _, both) in enumerate(workers) if both or queue == "a"]
        best = min(serving, key=lambda n: (held[n] + 1) / workers[n][0], default=None)
        expected.append(None if best is None else bench.topic(best, queue))
        if best is not None:
            held[best] += 1
    assert bench.dealer.deal(queues) == expected


def test_nothing_is_put_behind_a_running_job_while_a_worker_is_about_to_subscribe() -> None:
    bench = Bench()
    bench.worker("0", ["a"], 1)
    bench.worker("1", ["a"], 1)
    bench.dealer.answered([(bench.topic(1, "a"), NO_MATCHING_SUBSCRIBERS)])
    assert bench.dealer.deal(["a", "a"]) == [bench.topic(0, "a"), None]
