"""What really happened, from the lines that jobs wrote, and how the statistics differ from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from routeq_mqtt.wire.observe.histogram import bucket_of, quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LOST = 5.0
"""Seconds before its death whose counts a killed worker may take along."""

_LATE = 2.0
"""Seconds by which a busy machine may be late with a report."""


class Line(NamedTuple):
    """One attempt that came to its end."""

    pid: int
    at: float
    number: int
    attempt: int
    outcome: str
    ran: float
    waited: float


class Book:
    """Reads the lines as they are written.

    Args:
        folder: of the files, one for each process.
    """

    def __init__(self, folder: Path) -> None:
        self.lines: list[Line] = []
        self.ended: set[int] = set()
        self._folder = folder
        self._read: Counter[str] = Counter()

    def look(self) -> int:
        """Read on; how many jobs have come to their end."""
        for path in self._folder.iterdir():
            with path.open("rb") as file:
                file.seek(self._read[path.name])
                for line in file:
                    if line.endswith(b"\n"):
                        self._read[path.name] += len(line)
                        self._add(int(path.name), line.decode().split())
        return len(self.ended)

    def _add(self, pid: int, words: list[str]) -> None:
        at, number, attempt, outcome, ran, waited = words
        line = Line(pid, float(at), int(number), int(attempt), outcome, float(ran), float(waited))
        self.lines.append(line)
        if outcome != "retried":
            self.ended.add(line.number)

    def counts(self, killed: Mapping[int, float]) -> tuple[Counter[str], Counter[str]]:
        """Attempts by outcome: those that must be in the statistics, and all.

        Args:
            killed: process ids of workers, and when they were killed.
        """
        least: Counter[str] = Counter()
        for line in self.lines:
            if line.at < killed.get(line.pid, float("inf")) - LOST - _LATE:
                least[line.outcome] += 1
        return least, Counter(line.outcome for line in self.lines)


@dataclass
class Verdict:
    """What differs.

    Attributes:
        rows: what was compared: its name, what happened at least and at most, what was counted.
        problems: what is wrong, in words.
    """

    rows: list[tuple[str, float, float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def between(self, name: str, least: float, most: float, counted: float) -> None:
        """A count lies within what happened."""
        self.rows.append((name, least, most, counted))
        if not least <= counted <= most:
            self.problems.append(f"{name}: {counted} counted, {least} to {most} happened")

    def near(self, name: str, seconds: Sequence[float], buckets: Sequence[int]) -> None:
        """Percentiles of a histogram lie within one bucket of the exact ones."""
        exact = sorted(seconds)
        for percent in (50, 95, 99):
            real = exact[min(len(exact) - 1, len(exact) * percent // 100)]
            counted = quantile(buckets, percent / 100) or 0.0
            self.rows.append((f"{name} p{percent}", real, real, counted))
            if abs(bucket_of(real) - bucket_of(counted)) > 1:
                self.problems.append(f"{name} p{percent}: {counted} counted, {real} happened")

    def text(self) -> Iterator[str]:
        """As a table."""
        yield f"{'':28}{'at least':>12}{'at most':>12}{'counted':>12}"
        for name, *values in self.rows:
            yield f"{name:28}" + "".join(f"{_shown(value):>12}" for value in values)
        yield from self.problems or ["all of it agrees"]


def _shown(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.4f}"
