"""Limits of a job: a rate, a number of slots, or several of them; all must allow it to run.

Jobs with the same limits stand in one lane, in order of arrival. A lane's name says what its limits
are, so that nothing else has to be kept of them. A queue may have a rate of its own: its jobs stand
in lanes apart, and that rate must allow them, too.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from routeq_mqtt.scheduler.database import Database, Transaction

_AHEAD = 200
"""Jobs of one lane that may be granted in one pass."""

_ALMOST = 1e-9


@dataclass(slots=True)
class Bucket:
    """Tokens for a rate: `most` at once, and `most` more in each `seconds`."""

    most: float
    seconds: float
    tokens: float

    @property
    def open(self) -> bool:
        """Whether there is a token."""
        return self.tokens >= 1 - _ALMOST

    @property
    def wait(self) -> float:
        """Seconds until there is one."""
        return max(0.0, (1 - self.tokens) * self.seconds / self.most)

    def take(self) -> None:
        """One job."""
        self.tokens -= 1


@dataclass(slots=True)
class Slots:
    """Jobs that may run at once."""

    free: int
    wait: float = float("inf")

    @property
    def open(self) -> bool:
        """Whether there is a free one."""
        return self.free > 0

    def take(self) -> None:
        """One job."""
        self.free -= 1


def lane_of(limits: Sequence[dict[str, Any]]) -> str:
    """The lane of jobs with these limits."""
    return json.dumps(sorted(limits, key=lambda limit: (limit["key"], "rate" in limit)))


@dataclass(slots=True)
class Lane:
    """Jobs with the same limits, in order of arrival.

    Attributes:
        limits: of each of its jobs.
        queue: the queue, where that is limited itself.
        jobs: (order, id) of those that wait at the front.
    """

    limits: list[dict[str, Any]]
    queue: str | None
    jobs: deque[tuple[int, str]] = field(default_factory=deque)

    @property
    def gauges(self) -> list[str]:
        """The names of what must be open for one of its jobs."""
        names = [_name(limit) for limit in self.limits]
        return names if self.queue is None else [*names, _of_queue(self.queue)]

    def join(self, jobs: Iterable[tuple[int, str]]) -> None:
        """Take in jobs of another queue."""
        self.jobs = deque(sorted((*self.jobs, *jobs)))


Gauges = dict[str, "Bucket | Slots"]


def _anywhere(queue: str) -> bool:  # noqa: ARG001, RUF100 - as it is called
    return True


class Limits:
    """Grants jobs their turn.

    Args:
        database: where they wait, and what was granted.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def grant(
        self, now: float, is_served: Callable[[str], bool] = _anywhere
    ) -> tuple[int, float | None]:
        """One pass: grant what may run now, lanes in turn, the one that waits longest first.

        Args:
            now: UTC epoch seconds.
            is_served: whether a queue has workers. Turns given while there are none would pile up,
                and all be used at once by the first one that comes.

        Returns:
            How many were granted, and the seconds until time alone grants the next one; None where
            only the end of a job or a worker does, or nothing waits.
        """
        async with self._db.transaction() as work:
            gauges: Gauges = await self._of_queues(work, now)
            lanes = await self._lanes(work, gauges, is_served)
            for lane in lanes:
                await self._open_gauges(work, lane, gauges, now)
            chosen = _choose(lanes, gauges)
            await self._write(work, chosen, gauges, now)
        closed = [_wait(lane, gauges) for lane in lanes if lane.jobs]
        wait = min(closed, default=float("inf"))
        return len(chosen), None if wait == float("inf") else wait

    async def _of_queues(self, work: Transaction, now: float) -> Gauges:
        gauges: Gauges = {}
        for queue, most, seconds, tokens, at in await work.read(sql_limits.QUEUE_BUCKETS):
            if now < at:  # the clock was set back: count from now on
                await work.run(sql_limits.FILL_QUEUE_BUCKET, (tokens, now, queue))
            gauges[_of_queue(queue)] = _grown(most, seconds, tokens, now - at)
        return gauges

    async def _lanes(
        self, work: Transaction, gauges: Gauges, is_served: Callable[[str], bool]
    ) -> list[Lane]:
        found: dict[tuple[str, str | None], Lane] = {}
        for queue, text in await work.read(sql_limits.LANES):
            if not is_served(queue):
                continue
            limited = queue if _of_queue(queue) in gauges else None
            lane = found.setdefault(
                (text, limited), Lane(json.loads(text) if text else [], limited)
            )
            rows = await work.read(sql_limits.NEXT, (queue, text, _AHEAD))
            lane.join((int(seq), str(job_id)) for seq, job_id in rows)
        return sorted(found.values(), key=lambda lane: lane.jobs[0])

    async def _open_gauges(self, work: Transaction, lane: Lane, gauges: Gauges, now: float) -> None:
        for limit in lane.limits:
            name = _name(limit)
            if name in gauges:
                continue
            if "rate" in limit:
                gauges[name] = await self._bucket(work, limit, now)
            else:
                used = (await work.read(sql_limits.USED, (limit["key"],)))[0][0]
                gauges[name] = Slots(limit["slots"] - used)

    async def _bucket(self, work: Transaction, limit: dict[str, Any], now: float) -> Bucket:
        most, seconds = limit["rate"]
        found = await work.read(sql_limits.BUCKET, (limit["key"],))
        if not found:
            return Bucket(most, seconds, tokens=most)
        tokens, at = found[0]
        if now < at:  # the clock was set back: count from now on
            await work.run(sql_limits.FILL_BUCKET, (limit["key"], tokens, now))
        return _grown(most, seconds, tokens, now - at)

    async def _write(
        self, work: Transaction, chosen: Sequence[tuple[str, Lane]], gauges: Gauges, now: float
    ) -> None:
        slots, rates, queues = [], set(), set()
        for job_id, lane in chosen:
            queues.add(lane.queue)
            for limit in lane.limits:
                if "rate" in limit:
                    rates.add((limit["key"], _name(limit)))
                else:
                    slots.append((limit["key"], job_id))
        await work.many(sql_limits.GRANT, [(job_id,) for job_id, _ in chosen])
        await work.many(sql_limits.TAKE_SLOT, slots)
        buckets = [(key, gauge.tokens, now) for key, name in rates
                   if isinstance(gauge := gauges[name], Bucket)]  # fmt: skip
        await work.many(sql_limits.FILL_BUCKET, buckets)
        of_queues = [(gauge.tokens, now, queue) for queue in queues - {None}
                     if isinstance(gauge := gauges[_of_queue(str(queue))], Bucket)]  # fmt: skip
        await work.many(sql_limits.FILL_QUEUE_BUCKET, of_queues)

    async def tidy(self, now: float) -> None:
        """Forget buckets that nobody took from for a day; they are full again, or hardly used."""
        await self._db.write(sql_limits.OLD_BUCKETS, [(now - 86_400.0,)])


def _grown(most: float, seconds: float, tokens: float, passed: float) -> Bucket:
    return Bucket(most, seconds, min(most, tokens + max(0.0, passed) * most / seconds))


def _choose(lanes: Sequence[Lane], gauges: Gauges) -> list[tuple[str, Lane]]:
    """One job of each lane in turn, as long as its limits allow; it leaves its lane."""
    chosen = []
    turns = deque(lanes)
    while turns:
        lane = turns.popleft()
        mine = [gauges[name] for name in lane.gauges]
        if not all(gauge.open for gauge in mine):
            continue
        for gauge in mine:
            gauge.take()
        chosen.append((lane.jobs.popleft()[1], lane))
        if lane.jobs:
            turns.append(lane)
    return chosen


def _wait(lane: Lane, gauges: Gauges) -> float:
    closed = [gauge for name in lane.gauges if not (gauge := gauges[name]).open]
    return max((gauge.wait for gauge in closed), default=0.0)


def _of_queue(queue: str) -> str:
    """The name of a queue's own gauge; no other begins like this."""
    return f"queue {queue}"


def _name(limit: dict[str, Any]) -> str:
    """Of its gauge: jobs that disagree about a key's limit have one each, over the same use."""
    return json.dumps(limit, sort_keys=True)
