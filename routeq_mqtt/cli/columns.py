"""A table of text, and how it looks as aligned columns and nothing else."""

from __future__ import annotations

from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from routeq_mqtt.wire.shown import tame

if TYPE_CHECKING:
    from collections.abc import Iterator

_NARROWEST = 8
"""Columns that a plain table leaves each of its own at least, also on a narrow terminal."""

Cell = str | tuple[str, str]
"""Text, or text and its style."""


class Table:
    """A table of text, shown by `Screen.print`.

    Args:
        columns: the headings.
        whole: the first column is never wrapped, and has so many characters at least; 0: it is like
            the others.
        lines: something stands between the rows, since their cells have several lines.
    """

    def __init__(self, *columns: str, whole: int = 0, lines: bool = False) -> None:
        self.columns, self.whole, self.lines = columns, whole, lines
        self.rows: list[tuple[Cell, ...]] = []

    def add_row(self, *cells: Cell) -> None:
        """One more."""
        self.rows.append(
            tuple(
                tame(cell) if isinstance(cell, str) else (tame(cell[0]), cell[1]) for cell in cells
            )
        )


def plain(table: Table, width: int) -> str:
    """A table as aligned columns, wrapped where they would be wider than `width`."""
    texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in table.rows]
    rows = [[column.upper() for column in table.columns], *texts]
    widths = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*rows, strict=True)
    ]
    _shrink(widths, width, keep=1 if table.whole else 0)
    between = "\n\n" if table.lines else "\n"
    return between.join("\n".join(_lines(row, widths)) for row in rows)


def _shrink(widths: list[int], width: int, *, keep: int) -> None:
    """Take from the widest columns, but the first `keep`, until all fit or all are narrow."""
    gaps = 2 * (len(widths) - 1)
    while sum(widths) + gaps > width and any(one > _NARROWEST for one in widths[keep:]):
        widths[max(range(keep, len(widths)), key=widths.__getitem__)] -= 1


def _lines(row: list[str], widths: list[int]) -> Iterator[str]:
    cells = [
        [part for line in cell.split("\n") for part in wrap(line, width) or [""]]
        for cell, width in zip(row, widths, strict=True)
    ]
    for parts in zip_longest(*cells, fillvalue=""):
        padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield "  ".join(padded).rstrip()
