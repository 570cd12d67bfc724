"""How many rows of a queue the workers should hold: their slots, or what they do in a moment."""

from __future__ import annotations

from collections import Counter

AHEAD = 0.2
"""Seconds of work that the workers hold beyond a row for each slot."""

_MEASURE_FOR = 0.05


class Throughput:
    """Measures how fast the rows of each queue are done.

    Long jobs stay in the database until a slot is free: what a busy worker holds is hard to get
    back. Short ones are handed out ahead, as many as are done while the next commit is on its way.
    """

    def __init__(self) -> None:
        self._fed: Counter[str] = Counter()
        self._since: dict[str, tuple[float, int]] = {}
        self._rate: dict[str, float] = {}

    def fed(self, queue: str, number: int) -> None:
        """Count rows that went to the workers; negative, where they came back."""
        self._fed[queue] += number

    def measure(self, in_flight: Counter[str], now: float) -> None:
        """Compare with the rows in the workers' hands now, at monotonic seconds."""
        for queue, fed in tuple(self._fed.items()):
            done = fed - in_flight[queue]
            at, before = self._since.setdefault(queue, (now, done))
            if now - at < _MEASURE_FOR:
                continue
            self._rate[queue] = max(0.0, done - before) / (now - at)
            self._since[queue] = (now, done)
            if done == before and not in_flight[queue]:
                # Nothing is under way: it costs nothing until it is fed again.
                for numbers in (self._fed, self._since, self._rate):
                    numbers.pop(queue, None)

    def limit(self, queue: str, slots: int) -> int:
        """Rows that the workers should hold at most.

        Args:
            queue: whose rows.
            slots: jobs that its live workers run at once.
        """
        return max(slots, int(self._rate.get(queue, 0.0) * AHEAD))
