"""Whatever any topic brings, no process ends, and what is retained stops no later start."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated
from tests.gate.attack import Attack

pytestmark = pytest.mark.timeout(600)


async def test_no_message_on_any_topic_ends_a_process(cluster: Cluster) -> None:
    attack = Attack(cluster, messages=20, seed=1)
    await attack.run()
    assert len(attack.sent) > 50


async def test_a_lost_worker_whose_load_is_unreadable_loses_no_job(cluster: Cluster) -> None:
    await cluster.scheduler()
    first = await cluster.worker()
    async with cluster.bus() as bus:
        await bus.dispatch(Gated(key="held", gate="gate"))
        await cluster.recorder.count("waits", 1)
        await bus.sizes.refresh()
        [status] = bus.sizes.fleet.online()
        first.send(signal.SIGSTOP)  # it would report its load again
        connection = await bus.sender.link.ready()
        await connection.publish(f"routeq/running/{status.id}", b'{"running": [1]}', retain=True)
        first.send(signal.SIGKILL)
        await first.ended()
        await cluster.worker()
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("gate")
        await cluster.recorder.count("ran", 1)
