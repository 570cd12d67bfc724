"""Prometheus' text format, version 0.0.4: metric families as lines."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from routeq_mqtt.wire.observe.histogram import BOUNDS, BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = dict[str, str]
Sample = tuple[Labels, float]


def family(
    name: str, kind: Literal["counter", "gauge"], about: str, samples: Iterable[Sample]
) -> list[str]:
    """A family of counters or gauges."""
    lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return [*_head(name, kind, about), *lines]


def histogram(
    name: str, about: str, samples: Iterable[tuple[Labels, Sequence[int], float]]
) -> list[str]:
    """A family of histograms in our buckets: labels, counts and the sum of all."""
    lines = _head(name, "histogram", about)
    for labels, buckets, total in samples:
        counts = [*buckets, *[0] * (BUCKETS - len(buckets))]
        below = list(accumulate(counts))
        for bound, count in zip((*map(_number, BOUNDS), "+Inf"), below, strict=True):
            lines.append(f"{name}_bucket{_labels(labels | {'le': bound})} {count}")
        lines.append(f"{name}_sum{_labels(labels)} {_number(total)}")
        lines.append(f"{name}_count{_labels(labels)} {below[-1]}")
    return lines


def summary(name: str, about: str, total: float, count: int) -> list[str]:
    """A sum and how many it is of."""
    return [*_head(name, "summary", about), f"{name}_sum {_number(total)}", f"{name}_count {count}"]


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _labels(labels: Mapping[str, str]) -> str:
    """Whatever a name holds, it ends neither the value nor the line."""
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


_ESCAPED = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\r"): "\\r"}


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
