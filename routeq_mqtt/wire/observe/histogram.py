"""Fixed buckets of seconds, the same in every process, so that histograms can be added up."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOUNDS = (
    0.005, 0.008, 0.0125, 0.02, 0.032, 0.05, 0.08, 0.125, 0.2, 0.32, 0.5, 0.8, 1.25, 2.0, 3.2, 5.0,
    8.0, 12.5, 20.0, 32.0, 50.0, 80.0, 125.0, 200.0, 300.0,
)  # fmt: skip
"""Upper bounds in seconds, five for each power of ten; the last bucket is what lies beyond."""

BUCKETS = len(BOUNDS) + 1


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: the first whose bound is not below it."""
    return bisect_left(BOUNDS, seconds)


def count_in(buckets: list[int], durations: Sequence[float]) -> None:
    """Count durations, which are sorted, in their buckets: many cost little more than one."""
    counted = 0
    for number, bound in enumerate(BOUNDS):
        if counted == len(durations):
            return
        below = bisect_right(durations, bound, counted)
        buckets[number] += below - counted
        counted = below
    buckets[-1] += len(durations) - counted


def added(some: Iterable[int], others: Iterable[int]) -> list[int]:
    """Two histograms as one; buckets that are missing at the end are 0."""
    return [a + b for a, b in zip_longest(some, others, fillvalue=0)]


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The duration that a share of all stayed below, in seconds; None: there are none.

    Within a bucket it is interpolated. What lies beyond the last bound counts as that bound.

    Args:
        buckets: counts; those that are missing at the end are 0.
        share: from 0 to 1.
    """
    total = sum(buckets)
    if not total:
        return None
    wanted = share * total
    for number, below in enumerate(accumulate(buckets)):
        if below >= wanted and buckets[number]:
            if number >= len(BOUNDS):
                break
            low = BOUNDS[number - 1] if number else 0.0
            inside = (wanted - (below - buckets[number])) / buckets[number]
            return low + (BOUNDS[number] - low) * min(max(inside, 0.0), 1.0)
    return BOUNDS[-1]
