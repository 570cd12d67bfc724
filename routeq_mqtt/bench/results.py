"""A result: the figures of all runs of one scenario. The format that peers write, too."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of a table; as JSON: system, scenario, unit, runs.

    Attributes:
        system: what was measured, with broker and settings: ``routeq-mqtt (mosquitto)``.
        scenario: a name from `scenarios`, or of a figure of it: ``latency p50``.
        unit: ``jobs/s``, ``ms``, ``s``, ``MB`` or ``%``.
        runs: the figure of each run.
    """

    system: str
    scenario: str
    unit: str
    runs: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The figure that counts."""
        return median(self.runs)

    def as_dict(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)


class Table:
    """Collects figures into rows."""

    def __init__(self, system: str) -> None:
        self.rows: list[Row] = []
        self._system = system

    def add(self, scenario: str, unit: str, value: float) -> None:
        """One run's figure."""
        for row in self.rows:
            if row.scenario == scenario and row.unit == unit:
                row.runs.append(value)
                return
        self.rows.append(Row(system=self._system, scenario=scenario, unit=unit, runs=[value]))


def percentile(values: list[float], percent: float) -> float:
    """The value below which this percentage of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
