"""A table of text, and how it looks as aligned columns and nothing else."""

from __future__ import annotations

from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from routeq_mqtt.wire.display import tame

if TYPE_CHECKING:
    from collections.abc import Iterator

_BETWEEN = 2
"""Spaces between two columns."""

_NARROWEST = 8
"""Columns that a value gets at least, also on the narrowest terminal."""

Cell = str | tuple[str, str]
"""Text, or text and its style."""


class Table:
    """A table of text, shown by `Screen.print`.

    Args:
        columns: the headings.
        whole: the first column is never wrapped, and has at least this many characters; 0: it is
            like the others.
        lines: something stands between the rows, since their cells have several lines.
    """

    def __init__(self, *columns: str, whole: int = 0, lines: bool = False) -> None:
        self.columns: tuple[str, ...] = columns
        self.whole: int = whole
        self.lines: bool = lines
        self.rows: list[tuple[Cell, ...]] = []

    def add_row(self, *cells: Cell) -> None:
        """One more."""
        self.rows.append(
            tuple(
                tame(cell) if isinstance(cell, str) else (tame(cell[0]), cell[1]) for cell in cells
            )
        )


def plain(table: Table, width: int) -> str:
    """A table as aligned columns, wrapped between words; stacked where that is still too wide."""
    texts = _texts(table)
    rows = [[column.upper() for column in table.columns], *texts]
    words = longest_words(table)
    if not fits(words, width, between=_BETWEEN):
        return stacked(table, width)
    widths = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*rows, strict=True)
    ]
    _shrink(widths, words, width)
    between = "\n\n" if table.lines else "\n"
    return between.join("\n".join(_lines(row, widths)) for row in rows)


def stacked(table: Table, width: int) -> str:
    """A table for a narrow terminal: a block for each row, a line for each cell with a text."""
    names = table.columns[1:]
    indent = max((len(name) for name in names), default=0) + 2 * _BETWEEN
    blocks = []
    for first, *others in _texts(table):
        lines = [first]
        for name, cell in zip(names, others, strict=True):
            parts = _wrapped(cell, max(width - indent, _NARROWEST)) if cell else []
            heads = [f"{'':{_BETWEEN}}{name}", *([""] * len(parts))]
            lines += (f"{head:{indent}}{part}" for head, part in zip(heads, parts, strict=False))
        blocks.append("\n".join(lines))
    return ("\n\n" if table.lines else "\n").join(blocks)


def longest_words(table: Table) -> list[int]:
    """For each column the length of its longest word: narrower than that, and words are cut."""
    rows = [[*table.columns], *_texts(table)]
    found = [
        max(len(word) for cell in column for word in [*cell.split(), ""])
        for column in zip(*rows, strict=True)
    ]
    if table.whole:
        first = max(len(line) for row in rows for line in row[0].split("\n"))
        found[0] = max(table.whole, first)
    return found


def fits(words: list[int], width: int, *, between: int, around: int = 0) -> bool:
    """Whether columns of these widths fit, with so much between them and around all of them."""
    return sum(words) + between * (len(words) - 1) + around <= width


def _texts(table: Table) -> list[list[str]]:
    return [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in table.rows]


def _shrink(widths: list[int], words: list[int], width: int) -> None:
    """Take from the column that has most beyond its longest word, until all fit."""
    while not fits(widths, width, between=_BETWEEN):
        spare = [one - word for one, word in zip(widths, words, strict=True)]
        widths[max(range(len(widths)), key=spare.__getitem__)] -= 1


def _wrapped(cell: str, width: int) -> list[str]:
    return [part for line in cell.split("\n") for part in wrap(line, width) or [""]]


def _lines(row: list[str], widths: list[int]) -> Iterator[str]:
    cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*cells, fillvalue=""):
        padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield "  ".join(padded).rstrip()
