"""Requests for pages of batches, chains, rollouts, limits and unique keys, and their replies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages import replies
from routeq_mqtt.wire.messages.replies import BatchShown
from routeq_mqtt.wire.messages.request import Request
from routeq_mqtt.wire.observe.cursor import check_cursor

_MOST_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """A page of batches and broadcasts, newest first; `next`: the cursor of the next page."""

    rows: list[BatchShown] = field(default_factory=list)
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitShown:
    """A limit that jobs have named.

    Attributes:
        kind: slots: jobs of a key that run at once. rate: jobs of a key that start. queue: jobs
            of a queue that start.
        name: the key, or the queue.
        most: jobs; None: it is not known yet.
        seconds: in which they may start; None: they may run at once.
        used: jobs that run, of `slots`.
    """

    kind: str
    name: str
    most: float | None = None
    seconds: float | None = None
    used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPage:
    """A page of limits, by kind and name; `next`: the cursor of the next page."""

    rows: list[LimitShown] = field(default_factory=list)
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockShown:
    """A unique key that a job holds.

    Attributes:
        kind: the job class.
        key: what no other job may have.
        job: id of the job that has it.
        until: when it ends at the latest, UTC epoch seconds.
    """

    kind: str
    key: str
    job: str
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockPage:
    """A page of unique keys; `next`: the cursor of the next page."""

    rows: list[LockShown] = field(default_factory=list)
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainShown:
    """How far a chain is.

    Attributes:
        queue: of its first step that is known.
        steps: that are known, 100 at most: those that were over long ago are forgotten.
        over: of these, how many have ended.
        current: id of the job whose turn it is; None: no job's.
        state: that job's; held: a step before it has failed; over: all have ended.
    """

    id: str
    queue: str = ""
    steps: int = 0
    over: int = 0
    current: str | None = None
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPage:
    """A page of chains, oldest first; `next`: the cursor of the next page."""

    rows: list[ChainShown] = field(default_factory=list)
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow(replies.RolloutCounts):
    """A broadcast that goes to one device after another, or ends after some failures.

    Attributes:
        every: seconds between two devices; 0: all at once.
        next_at: when the next device gets it; None: all have it, or it was ended.
    """

    every: float = 0.0
    next_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPage:
    """A page of rollouts, newest first; `next`: the cursor of the next page."""

    rows: list[RolloutRow] = field(default_factory=list)
    next: str | None = None


def _limit(value: Any) -> int:  # noqa: ANN401 - whatever came
    if type(value) is not int or not 1 <= value <= _MOST_ROWS:
        checks.refuse("limit", value, f"a whole number from 1 to {_MOST_ROWS}")
    return value


P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class _PageOf(Request[P]):
    CHECKS: ClassVar[dict[str, checks.Check]] = {"limit": _limit, "cursor": check_cursor}
    REPLY: ClassVar[str] = "map: `rows`, `next`"

    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class BatchList(_PageOf[BatchPage]):
    """Batches and broadcasts of the last 7 days, newest first."""

    METHOD: ClassVar[str] = "batch.list"


@dataclass(frozen=True, kw_only=True)
class ChainList(_PageOf[ChainPage]):
    """Chains, oldest first, and how far each is."""

    METHOD: ClassVar[str] = "chain.list"


@dataclass(frozen=True, kw_only=True)
class RolloutList(_PageOf[RolloutPage]):
    """Rollouts of the last 7 days, newest first, and how far each is."""

    METHOD: ClassVar[str] = "rollout.list"


@dataclass(frozen=True, kw_only=True)
class LimitList(_PageOf[LimitPage]):
    """Limits of keys and queues, with what they admit and how many jobs use it."""

    METHOD: ClassVar[str] = "limit.list"


@dataclass(frozen=True, kw_only=True)
class LockList(_PageOf[LockPage]):
    """Unique keys that jobs hold."""

    METHOD: ClassVar[str] = "lock.list"


def _rows(kind: type[Any]) -> checks.Check:
    return lambda value: replies.read_list(kind, value)


replies.know(
    {
        "list[BatchShown]": _rows(BatchShown),
        "list[ChainShown]": _rows(ChainShown),
        "list[LimitShown]": _rows(LimitShown),
        "list[LockShown]": _rows(LockShown),
        "list[RolloutRow]": _rows(RolloutRow),
    }
)

LISTS: tuple[type[Request[Any]], ...] = (BatchList, ChainList, RolloutList, LimitList, LockList)
