"""Bar charts of medians with minima and maxima: rows as JSON on standard input, a PNG per file."""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

OURS = sys.argv[1]


def draw(file: str, rows: list[dict[str, Any]]) -> None:
    unit = rows[0]["unit"]
    rows = sorted(rows, key=lambda row: median(row["runs"]), reverse=unit != "jobs/s")
    middle = [median(row["runs"]) for row in rows]
    below = [at - min(row["runs"]) for at, row in zip(middle, rows, strict=True)]
    above = [max(row["runs"]) - at for at, row in zip(middle, rows, strict=True)]
    colours = ["tab:green" if row["system"] == OURS else "tab:gray" for row in rows]
    figure, axes = plt.subplots(figsize=(7, 0.4 + 0.34 * len(rows)))
    axes.barh([row["system"] for row in rows], middle, xerr=[below, above], color=colours)
    if unit == "ms" and min(middle) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(f"{rows[0]['scenario']}, {unit} (median, min, max)")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


for name, of in json.load(sys.stdin).items():
    draw(name, of)
