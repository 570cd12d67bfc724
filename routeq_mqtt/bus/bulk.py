"""Many jobs at once: packed in parts, while the parts before are on their way."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from routeq_mqtt.jobs.job import is_planned
from routeq_mqtt.jobs.keywords import name_of
from routeq_mqtt.tasks import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from routeq_mqtt.bus.outbox.client import Outgoing
    from routeq_mqtt.bus.send.deadline import Deadline
    from routeq_mqtt.bus.send.routing import JobRouter
    from routeq_mqtt.bus.send.serializer import Serializer
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.outbox.options import Confirm

_CHUNK = 500
_STORED_CHUNK = 500
_CHUNKS_AHEAD = 4
"""Parts that wait for the broker while the next one is packed."""


class Bulk:
    """One `Bus.bulk`.

    Args:
        packer: makes what travels.
        places: who is given the jobs.
        within: makes the limit of one part, of its seconds (None: the settings') and its name.
        tell: hears id, name and queue of each job that was sent; None: no report is wanted.
        queue, confirm, timeout: as for `Bus.bulk`.

    Attributes:
        ids: of the jobs that have been packed, in order.
    """

    def __init__(
        self,
        packer: Serializer,
        places: JobRouter,
        within: Callable[..., Deadline],
        tell: Callable[[str, str, str], object] | None,
        *,
        queue: str | None,
        confirm: Confirm | None,
        timeout: float | None,
    ) -> None:
        self._packer = packer
        self._places = places
        self._within = within
        self._tell = tell
        self._queue = queue
        self._confirm = confirm
        self._timeout = timeout
        self._size = _STORED_CHUNK if confirm == "stored" else _CHUNK
        self.ids: list[str] = []

    async def keep(self, jobs: Iterable[Job], outgoing: Outgoing) -> None:
        """Put all of them into an outbox."""
        packer = self._packer
        source = iter(jobs)
        while chunk := list(islice(source, self._size)):
            envelopes = [packer.envelope(job, queue=self._queue) for job in chunk]
            await outgoing.put([(e, packer.pack(e)) for e in envelopes], self._confirm)
            for envelope in envelopes:
                self.ids.append(str(envelope.id))
                if self._tell is not None:
                    self._tell(self.ids[-1], envelope.job, str(envelope.queue))

    async def send(self, jobs: Iterable[Job]) -> None:
        """Send all of them; returns when each is held."""
        source = iter(jobs)
        ahead: deque[asyncio.Task[None]] = deque()
        async with Scope() as scope:
            while chunk := list(islice(source, self._size)):
                if len(ahead) == _CHUNKS_AHEAD:
                    await ahead[0]
                    ahead.popleft()
                at = len(self.ids)
                packed = [self._packer.pack_now(job, self._queue) for job in chunk]
                self.ids += [job_id for job_id, _, _ in packed]
                jobs_of = [(name, payload) for _, name, payload in packed]
                sending = self._send_chunk(chunk, jobs_of, at)
                ahead.append(scope.start(sending, "bulk"))
                await asyncio.sleep(0)  # it goes out while the next ones are packed
            for task in ahead:
                await task

    async def _send_chunk(
        self, chunk: Sequence[Job], packed: Sequence[tuple[str, bytes]], at: int
    ) -> None:
        """To the queues; those to be stored to the scheduler, whose answers go to `ids`."""
        queues = [queue for queue, _ in packed]
        stored = self._to_store(chunk)
        async with self._within(self._timeout, f"bulk of {len(packed)} jobs", stored=bool(stored)):
            if stored:
                asked = [packed[number] for number in stored]
                answers = await self._places.store_all(asked, self._timeout)
                for number, answer in zip(stored, answers, strict=True):
                    self.ids[at + number] = answer
                others = set(range(len(packed))).difference(stored)
                packed = [packed[number] for number in sorted(others)]
            await self._places.send_all(packed)
        if self._tell is not None:
            for number, queue in enumerate(queues):
                self._tell(self.ids[at + number], name_of(type(chunk[number])), queue)

    def _to_store(self, jobs: Sequence[Job]) -> Sequence[int]:
        """Which go to the scheduler: all, where that is asked for; else the planned ones."""
        if self._confirm == "stored":
            return range(len(jobs))
        if not any(is_planned(kind) for kind in set(map(type, jobs))):
            return ()
        return [number for number, job in enumerate(jobs) if is_planned(type(job))]
