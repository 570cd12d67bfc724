"""Limits of a job: a rate, a number of slots, or several of them; all must allow it to run.

Jobs with the same limits stand in one lane, in order of arrival. A lane's name says what its limits
are, so that nothing else has to be kept of them.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler import sql_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class Limits:
    """Grants jobs their turn.

    Args:
        database: where they wait, and what was granted.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def grant(self, now: float) -> tuple[int, float | None]:
        """One pass: grant what may run now, lanes in turn, the one that waits longest first.

        Returns:
            How many were granted, and the seconds until time alone grants the next one; None where
            only the end of a job does, or nothing waits.
        """
        async with self._db.transaction() as work:
            lanes = [str(row[0]) for row in await work.read(sql_limits.LANES)]
            gauges: dict[str, Bucket | Slots] = {}
            waiting: dict[str, deque[str]] = {}
            for lane in lanes:
                await self._open_gauges(work, lane, gauges, now)
                ids = await work.read(sql_limits.NEXT, (lane, _AHEAD))
                waiting[lane] = deque(str(row[0]) for row in ids)
            chosen = _choose(waiting, gauges)
            await self._write(work, chosen, gauges, now)
        closed = [_wait(lane, gauges) for lane, ids in waiting.items() if ids]
        wait = min(closed, default=float("inf"))
        return len(chosen), None if wait == float("inf") else wait

    async def _open_gauges(
        self, work: Transaction, lane: str, gauges: dict[str, Bucket | Slots], now: float
    ) -> None:
        for limit in json.loads(lane):
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
        grown = tokens + max(0.0, now - at) * most / seconds
        return Bucket(most, seconds, tokens=min(most, grown))

    async def _write(
        self,
        work: Transaction,
        chosen: Sequence[tuple[str, str]],
        gauges: dict[str, Bucket | Slots],
        now: float,
    ) -> None:
        slots, rates = [], set()
        for job_id, lane in chosen:
            for limit in json.loads(lane):
                if "rate" in limit:
                    rates.add((limit["key"], _name(limit)))
                else:
                    slots.append((limit["key"], job_id))
        await work.many(sql_limits.GRANT, [(job_id,) for job_id, _ in chosen])
        await work.many(sql_limits.TAKE_SLOT, slots)
        buckets = [(key, gauge.tokens, now) for key, name in rates
                   if isinstance(gauge := gauges[name], Bucket)]  # fmt: skip
        await work.many(sql_limits.FILL_BUCKET, buckets)

    async def tidy(self, now: float) -> None:
        """Forget buckets that nobody took from for a day; they are full again, or hardly used."""
        await self._db.write(sql_limits.OLD_BUCKETS, [(now - 86_400.0,)])


def _choose(
    waiting: dict[str, deque[str]], gauges: dict[str, Bucket | Slots]
) -> list[tuple[str, str]]:
    """One job of each lane in turn, as long as its limits allow; it leaves `waiting`."""
    chosen = []
    lanes = deque(lane for lane, ids in waiting.items() if ids)
    while lanes:
        lane = lanes.popleft()
        mine = [gauges[_name(limit)] for limit in json.loads(lane)]
        if not all(gauge.open for gauge in mine):
            continue
        for gauge in mine:
            gauge.take()
        chosen.append((waiting[lane].popleft(), lane))
        if waiting[lane]:
            lanes.append(lane)
    return chosen


def _wait(lane: str, gauges: dict[str, Bucket | Slots]) -> float:
    closed = [gauge for limit in json.loads(lane) if not (gauge := gauges[_name(limit)]).open]
    return max((gauge.wait for gauge in closed), default=0.0)


def _name(limit: dict[str, Any]) -> str:
    """Of its gauge: jobs that disagree about a key's limit have one each, over the same use."""
    return json.dumps(limit, sort_keys=True)
