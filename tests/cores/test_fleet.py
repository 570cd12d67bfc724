"""The workers of a bus, found by their queues."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.presence.status import WorkerStatus, encode
from routeq_mqtt.topics import Topics

if TYPE_CHECKING:
    from routeq_mqtt.presence.status import WorkerState


def test_workers_of_a_queue_are_those_that_a_look_at_all_of_them_finds() -> None:
    rng = random.Random(18)  # noqa: S311 - repeatable
    fleet = Fleet(Topics())
    states: list[WorkerState] = ["online", "online", "stopped", "lost", "adopting", "adopted"]
    queues = ["a", "b", "c"]
    for _ in range(2_000):
        worker = f"w{rng.randrange(6)}"
        said = rng.choice(["status", "status", "gone", "forgotten"])
        if said == "status":
            chosen = rng.sample(queues, rng.randrange(1, 4))
            status = WorkerStatus(id=worker, state=rng.choice(states), queues=chosen)
            fleet.fold(f"routeq/workers/{worker}", encode(status), now=0.0)
        elif said == "gone":
            fleet.fold(f"routeq/workers/{worker}", b"", now=0.0)
        else:
            fleet.forget(worker)
        all_of_them = [one.status for one in fleet.members.values() if one.status is not None]
        online = {one.id for one in all_of_them if one.state == "online"}
        assert {one.id for one in fleet.online()} == online
        for queue in queues:
            found = {one.id for one in all_of_them if one.id in online and queue in one.queues}
            assert {one.id for one in fleet.online(queue)} == found
        served = {queue for one in all_of_them if one.id in online for queue in one.queues}
        assert fleet.queues() == served
