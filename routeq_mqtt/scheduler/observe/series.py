"""Makes series of points, as charts need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.wire.observe.answers import StatPoint, StatSeries
from routeq_mqtt.wire.observe.histogram import quantile
from routeq_mqtt.wire.observe.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.wire.observe.stats import Pair

_MOST = 200


def series_of(
    points: Sequence[tuple[int, Pair, Tally]], *, queue: str | None, job: str | None, by: str
) -> list[StatSeries]:
    """Points by all, queue or job, those with the most attempts first, 200 at most.

    Args:
        points: beginning, pair and what was counted; several of one beginning are added up.
        queue: only of this one; None: of all.
        job: only of this class; None: of all.
        by: "all", "queue" or "job".
    """
    found: dict[str | None, dict[int, Tally]] = {}
    for at, (of_queue, of_job), tally in points:
        if (queue is not None and of_queue != queue) or (job is not None and of_job != job):
            continue
        name = {"queue": of_queue, "job": of_job}.get(by)
        found.setdefault(name, {}).setdefault(at, Tally()).add(tally)
    most = sorted(found, key=lambda name: -sum(one.attempts for one in found[name].values()))
    return [
        StatSeries(
            queue=name if by == "queue" else queue,
            job=name if by == "job" else job,
            points=[_point(at, tally) for at, tally in sorted(found[name].items())],
        )
        for name in most[:_MOST]
    ]


def _point(at: int, tally: Tally) -> StatPoint:
    return StatPoint(
        at=float(at),
        attempts=tally.attempts,
        done=tally.outcomes["done"],
        failed=tally.outcomes["failed"],
        retried=tally.outcomes["retried"],
        cancelled=tally.outcomes["cancelled"],
        run=tally.run,
        run_seconds=tally.run_seconds,
        run_p50=quantile(tally.run, 0.5),
        run_p95=quantile(tally.run, 0.95),
        run_p99=quantile(tally.run, 0.99),
        wait=tally.wait,
        wait_seconds=tally.wait_seconds,
        wait_p50=quantile(tally.wait, 0.5),
        wait_p95=quantile(tally.wait, 0.95),
        wait_p99=quantile(tally.wait, 0.99),
    )
