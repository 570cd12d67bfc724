"""What a limited job needs: a token of a rate, a slot, a queue with workers; open or closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.engines.engine import Columns

_ALMOST = 1e-9


@dataclass(slots=True, kw_only=True)
class Gauge:
    """How many jobs it lets through now.

    Attributes:
        name: its kind, a space, and the key or queue: no two of them have the same.
        changed: it is not as the database has it.
        behind: lanes have been put behind it, since it is closed.
    """

    name: str
    changed: bool = False
    behind: bool = field(default=False, init=False)

    @property
    def room(self) -> int:
        """Jobs that it lets through now."""
        raise NotImplementedError

    @property
    def wait(self) -> float:
        """Seconds until time alone opens it, of one that is closed."""
        return inf

    def take(self) -> None:
        """Let one job through."""


@dataclass(slots=True, kw_only=True)
class Bucket(Gauge):
    """Tokens for a rate: `most` at once, and `most` more in each `seconds`."""

    most: float
    seconds: float
    tokens: float

    @property
    def room(self) -> int:
        """See `Gauge`."""
        return floor(self.tokens + _ALMOST)

    @property
    def wait(self) -> float:
        """See `Gauge`."""
        return max(0.0, (1 - self.tokens) * self.seconds / self.most)

    def take(self) -> None:
        """See `Gauge`."""
        self.tokens -= 1
        self.changed = True


@dataclass(slots=True, kw_only=True)
class Slots(Gauge):
    """Jobs that may run at once; a row for each of them is counted by the database."""

    free: int

    @property
    def room(self) -> int:
        """See `Gauge`."""
        return max(0, self.free)

    def take(self) -> None:
        """See `Gauge`."""
        self.free -= 1


@dataclass(slots=True, kw_only=True)
class Home(Gauge):
    """Workers of a queue; turns given while there are none would all be used at once later."""

    most: int

    @property
    def room(self) -> int:
        """See `Gauge`."""
        return self.most


def name_of(limit: dict[str, Any]) -> str:
    """Of the gauge of a limit."""
    return f"{'rate' if 'rate' in limit else 'slots'} {limit['key']}"


def gauge_of(
    name: str, row: Columns | None, now: float, own: tuple[float, float | None] | None
) -> Gauge | None:
    """A gauge as the database has it.

    Args:
        name: of the gauge.
        row: most, seconds, tokens, at, used.
        now: UTC epoch seconds.
        own: most and seconds, where the row does not say; None: there is no such gauge then.
    """
    most, seconds, tokens, at, used = row or (None, None, None, None, 0)
    if most is None:
        if own is None:
            return None
        most, seconds = own
    if seconds is None:
        return Slots(name=name, free=int(most) - used)
    if at is None or tokens is None:
        return Bucket(name=name, most=most, seconds=seconds, tokens=most)
    grown = min(most, tokens + max(0.0, now - at) * most / seconds)
    # The clock was set back: count from now on.
    return Bucket(name=name, most=most, seconds=seconds, tokens=grown, changed=now < at)
