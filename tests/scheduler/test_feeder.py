"""Which queues the feeder looks at."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.notifier import Notifier
from routeq_mqtt.scheduler.release.feeder import Feeder
from routeq_mqtt.scheduler.store.rows import NewRow, Row
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.cluster.recorder import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.context import Context

QUEUES = 1_050
"""A rest of 20 ms after each look."""


class _Workers:
    """The publisher and the context of a scheduler: workers of one queue, which take every row."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 0.0
        self.clock = SimpleNamespace(monotonic=lambda: self.now)
        self.parked = Notifier()
        self.looked: list[str] = []
        self.took: list[str] = []
        self.fed = Notifier()

    def has_home(self, queue: str) -> bool:
        self.looked.append(queue)
        return queue == "served"

    def room(self, queue: str) -> int:
        return 2

    def limit(self, queue: str) -> int:
        return 2

    async def release(self, rows: Sequence[Row]) -> int:
        released = await self.store.release(rows)
        self.took += [row.id for row in released]
        self.fed.notify()
        return len(released)

    async def park(self, *rows: tuple[str, str]) -> None:
        await self.store.take([
            NewRow(
                id=job_id, queue=queue, attempt=1, deliveries=1, state="parked", run_at=1.0,
                durable=True, expires_at=None,
                envelope=Envelope(job="Noop", id=job_id, queue=queue).encode(),
            )
            for queue, job_id in rows
        ])  # fmt: skip
        self.parked.notify()


async def test_queues_without_workers_are_looked_at_now_and_then(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "scheduler.db")
    try:
        workers = _Workers(store)
        await workers.park(*((f"@device{number}", f"id{number}") for number in range(QUEUES)))
        await workers.park(*(("served", f"s{number}") for number in range(5)))
        feeder = Feeder(cast("Context", workers), cast("Any", workers))
        while await feeder.feed():
            pass
        # One finds out, then all others; then nothing is left.
        assert workers.took == [f"s{number}" for number in range(5)]
        assert len(workers.looked) == QUEUES + 1 + 3
        await workers.park(("served", "behind"))
        assert await feeder.feed() == 0, "it is found with the next look"
        workers.now += 0.03
        assert await feeder.feed() == 1
        assert len(workers.looked) == 2 * (QUEUES + 1) + 3
    finally:
        await store.close()


async def test_what_is_parked_while_the_feeder_rests_is_fed_when_the_rest_is_over(
    tmp_path: Path,
) -> None:
    store = await Store.open(tmp_path / "scheduler.db")
    try:
        workers = _Workers(store)
        workers.clock.monotonic = asyncio.get_running_loop().time
        await workers.park(*((f"@device{number}", f"id{number}") for number in range(QUEUES)))
        running = asyncio.ensure_future(
            Feeder(cast("Context", workers), cast("Any", workers)).run()
        )
        for number in range(20):
            seen = workers.fed.fired
            await workers.park(("served", f"s{number}"))
            while f"s{number}" not in workers.took:  # the last notification before a rest
                assert await workers.fed.wait(TIMEOUT, since=seen)
                seen = workers.fed.fired
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        await store.close()
