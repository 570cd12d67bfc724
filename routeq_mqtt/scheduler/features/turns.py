"""One pass of the limits: who gets a turn now, and who waits for what from then on.

Looked at are lanes that are ready, and lanes behind gauges that have opened, as many as those let
through. What waits behind closed gauges costs nothing.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.features.gauges import Bucket, Gauge, Home, gauge_of, name_of
from routeq_mqtt.scheduler.store.sql import limits as sql
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.envelopes.options import check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection

log: logging.Logger = logging.getLogger(__name__)

MOST = 200
"""Lanes, gauges, and jobs of one lane in one pass: other work goes on between two of them."""


@dataclass(slots=True)
class Lane:
    """Jobs with the same limits, in order of arrival, of one queue or of several.

    Attributes:
        text: of its limits.
        gauges: that must be open for one of its jobs.
        queues: that its jobs are of.
        jobs: (order, id) of those at the front.
    """

    text: str
    gauges: list[Gauge]
    queues: list[str] = field(default_factory=list)
    jobs: deque[tuple[int, str]] = field(default_factory=deque)

    @property
    def room(self) -> int:
        """Jobs that it may start now."""
        return min((gauge.room for gauge in self.gauges), default=MOST)


@dataclass(frozen=True, slots=True)
class Turns:
    """What a pass did.

    Attributes:
        granted: how many jobs got their turn.
        opens_at: when time alone opens a gauge next, UTC epoch seconds; None: it does not.
        more: another pass has more to do at once.
        closed, opened: queues that lanes wait behind for want of a worker, or no longer.
    """

    granted: int
    opens_at: float | None
    more: bool
    closed: set[str]
    opened: set[str]


class Pass:
    """One pass, within a transaction.

    Args:
        db: the database.
        now: UTC epoch seconds.
        is_served: whether a queue has workers.
    """

    def __init__(self, db: SyncConnection, now: float, is_served: Callable[[str], bool]) -> None:
        self._db = db
        self._now = now
        self._is_served = is_served
        self._gauges: dict[str, Gauge | None] = {}
        self._lanes: dict[tuple[str, str | None], Lane] = {}
        self._more = False
        self._closed: set[str] = set()
        self._opened: set[str] = set()

    def run(self) -> Turns:
        """Grant what may run now, lanes in turn, the job that waits longest first."""
        opened = self._look_at_opened()
        ready = self._db.execute(sql.READY, (MOST,)).fetchall()
        self._more |= len(ready) == MOST
        self._join(ready)
        for lane in self._lanes.values():
            self._read_jobs(lane)
        chosen = _choose(sorted((one for one in self._lanes.values() if one.jobs), key=_first))
        self._grant(chosen)
        for lane in self._lanes.values():
            for queue in lane.queues:
                self._put_behind(queue, lane.text, _tightest(lane.gauges))
        for gauge in self._gauges.values():
            if gauge is not None:
                self._close(gauge, opened)
        [(opens_at,)] = self._db.execute(sql.NEXT_OPENING)
        return Turns(len(chosen), opens_at, self._more, self._closed, self._opened)

    # -- lanes ---------------------------------------------------------------------------------

    def _look_at_opened(self) -> set[str]:
        """Lanes behind gauges that have opened; the names of those."""
        opened = set()
        found = self._db.execute(sql.OPENED, (self._now, MOST)).fetchall()
        self._more |= len(found) == MOST
        for (name,) in found:
            gauge = self._gauge(name)
            number = min(MOST, gauge.room) if gauge is not None else MOST
            lanes = self._db.execute(sql.BEHIND, (name, number)).fetchall() if number else []
            opened.add(name)
            if gauge is None:
                self._db.execute(sql.SET_OPENING, (None, name))
            self._join(lanes)
        return opened

    def _join(self, lanes: Iterable[tuple[str, str]]) -> None:
        """Look at lanes; those of one text share what they need, whichever queue they are of."""
        for queue, text in lanes:
            if not self._is_served(queue):
                self._put_behind(queue, text, self._gauge(f"home {queue}"))
                continue
            own = self._gauge(f"queue {queue}")
            lane = self._lanes.get((text, queue if own else None))
            if lane is None:
                limits = _limits(text)
                gauges = [self._named(name, limit) for name, limit in limits.items()]
                lane = Lane(text, gauges if own is None else [*gauges, own])
                self._lanes[text, queue if own else None] = lane
            if queue not in lane.queues:
                lane.queues.append(queue)

    def _read_jobs(self, lane: Lane) -> None:
        if room := min(MOST, lane.room):
            found = [
                row
                for queue in lane.queues
                for row in self._db.execute(sql.NEXT, (queue, lane.text, room))
            ]
            lane.jobs = deque(sorted(found)[:room])

    def _put_behind(self, queue: str, text: str, gauge: Gauge | None) -> None:
        """Behind a closed gauge; None: it stays ready."""
        name = None if gauge is None else gauge.name
        if not self._db.execute(sql.BLOCK, (queue, text, name)).rowcount:
            return  # it has no jobs left
        if gauge is None:
            self._more = True
            return
        gauge.behind = True
        if isinstance(gauge, Home):
            self._db.execute(sql.CLOSE_HOME, (name,))
            self._closed.add(queue)

    # -- gauges --------------------------------------------------------------------------------

    def _gauge(self, name: str, own: tuple[float, float | None] | None = None) -> Gauge | None:
        if name not in self._gauges:
            kind, _, queue = name.partition(" ")
            if kind == "home":
                most = MOST if self._is_served(queue) else 0
                self._gauges[name] = Home(name=name, most=most)
            else:
                row = self._db.execute(sql.GAUGE, (name,)).fetchone()
                self._gauges[name] = gauge_of(name, row, self._now, own)
        return self._gauges[name]

    def _named(self, name: str, limit: dict[str, Any]) -> Gauge:
        """The gauge of a limit, by the numbers of the newest job, or else by its own."""
        most, seconds = limit.get("rate") or (limit["slots"], None)
        gauge = self._gauge(name)
        if gauge is None:
            self._db.execute(sql.NAME_NUMBERS, (name, most, seconds))
            del self._gauges[name]
            gauge = self._gauge(name, (most, seconds))
        assert gauge is not None  # noqa: S101 - it has its numbers
        return gauge

    def _close(self, gauge: Gauge, opened: set[str]) -> None:
        """Write what became of a gauge, and when it is looked at again."""
        if gauge.changed and isinstance(gauge, Bucket):
            self._db.execute(sql.FILL, (gauge.tokens, self._now, gauge.name))
        if not (gauge.behind or gauge.name in opened):
            return
        waits = bool(self._db.execute(sql.BEHIND, (gauge.name, 1)).fetchall())
        if gauge.room and waits:
            self._more = True
        elif waits and gauge.wait < inf:
            self._db.execute(sql.SET_OPENING, (self._now + gauge.wait, gauge.name))
        else:
            self._db.execute(sql.SET_OPENING, (None, gauge.name))
        if isinstance(gauge, Home) and not waits:
            self._db.execute(sql.FORGET_GAUGE, (gauge.name,))
            self._opened.add(gauge.name.removeprefix("home "))

    def _grant(self, chosen: Sequence[tuple[str, Lane]]) -> None:
        self._db.executemany(sql.GRANT, [(job_id,) for job_id, _ in chosen])
        slots = [
            (gauge.name.removeprefix("slots "), job_id)
            for job_id, lane in chosen
            for gauge in lane.gauges
            if gauge.name.startswith("slots ")
        ]
        self._db.executemany(sql.TAKE_SLOT, slots)


def _choose(lanes: Iterable[Lane]) -> list[tuple[str, Lane]]:
    """One job of each lane in turn, as long as its gauges allow; it leaves its lane."""
    chosen = []
    turns = deque(lanes)
    while turns:
        lane = turns.popleft()
        if not lane.room:
            continue
        for gauge in lane.gauges:
            gauge.take()
        chosen.append((lane.jobs.popleft()[1], lane))
        if lane.jobs:
            turns.append(lane)
    return chosen


def _first(lane: Lane) -> tuple[int, str]:
    return lane.jobs[0]


def _tightest(gauges: Iterable[Gauge]) -> Gauge | None:
    """The closed one that opens last; None: none is closed."""
    return max((one for one in gauges if not one.room), key=_wait, default=None)


def _wait(gauge: Gauge) -> float:
    return gauge.wait


def _limits(text: str) -> dict[str, dict[str, Any]]:
    """The limits of a lane, by name; none where they are unreadable: its jobs are not held back."""
    try:
        checked = check_options({"limits": json.loads(text or "[]")})["limits"]
    except (UnreadableMessage, ValueError, TypeError) as error:
        log.error(
            "a lane is unreadable, its jobs have no limits lane=%s error=%s", shown(text), error
        )
        return {}
    return {name_of(one): one for one in checked}
