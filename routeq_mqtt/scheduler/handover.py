"""A scheduler that must leave gives its rows to the one that stays.

Two that were started at once, each with a database of its own, both took messages in. What the
later one has would lie in its database until somebody starts it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.wire.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Collection

    from routeq_mqtt.bus.sender import Sender
    from routeq_mqtt.scheduler.rows import Row
    from routeq_mqtt.scheduler.store import Store

log = logging.getLogger(__name__)

_BATCH = 500


class Handover:
    """Sends every row on as its producer did, and forgets it after the PUBACK.

    Args:
        store: what we have.
        sender: a connection under another name: ours is the other scheduler's now.
    """

    def __init__(self, store: Store, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._topics = sender.topics

    async def run(self, unsure: Collection[str]) -> int:
        """Hand over what no worker has; how many.

        Args:
            unsure: released rows whose PUBACK we did not see.

        Raises:
            NoScheduler, PublishRefused, ConnectionLost: the rest stays here, and is not lost.
        """
        await self._store.park(unsure)
        number = 0
        for queue in await self._store.parked_queues():
            while rows := await self._store.parked(queue, _BATCH):
                number += await self._send(rows, self._topics.intake(queue))
        while rows := await self._store.due(lambda: float("inf"), _BATCH):
            number += await self._send(rows, self._topics.schedule)
        for job_id in await self._store.failed_ids():
            failed = await self._store.failed_get(job_id)
            if failed is not None:
                await self._sender.to_scheduler(self._topics.failed, failed.record)
                await self._store.failed_forget([job_id])
                number += 1
        log.info("handed over rows=%d", number)
        return number

    async def _send(self, rows: list[Row], topic: str) -> int:
        for row in rows:
            payload = row.envelope
            if row.state == "delayed":
                payload = Envelope.decode(payload).evolve(run_at=row.run_at).encode()
            await self._sender.to_scheduler(topic, payload)
        await self._store.forget([row.id for row in rows])
        return len(rows)
