"""What commands show: the one home of rich, and plain text where rich is not installed.

An installation for a small card leaves rich out (docs/footprint.md); only the looks differ.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from routeq_mqtt.cli.output.columns import Table, fits, longest_words, plain, stacked
from routeq_mqtt.wire.display import tame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

RICH = find_spec("rich") is not None
"""Whether rich is installed; typer itself looks at no more than its environment."""

_UNLIMITED = 10_000
"""Columns of what is not a terminal: a line for each row, for programs that read lines."""

_FRAME = 3
"""Columns of a line and two spaces, which rich draws between cells."""


class Screen:
    """Standard output or standard error; rich is loaded when something is printed.

    No markup: what jobs and brokers say may hold brackets, and stands there as it is. Control
    characters are written out: so that no publisher can repaint an operator's terminal.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr
        self._loaded: Console | None = None

    def print(
        self,
        *objects: object,
        style: str | None = None,
        highlight: bool | None = None,
        soft_wrap: bool | None = None,
    ) -> None:
        """Print objects and tables; the options are rich's.

        Args:
            objects: what to print.
            style: a colour, "bold" or "dim".
            highlight: whether numbers and the like have colours.
            soft_wrap: whether the terminal wraps long lines, so that they can be copied whole.
        """
        console = self._console()
        if console is not None:
            wide = console.width
            shown = [
                _of_rich(one, wide) if isinstance(one, Table | str) else one for one in objects
            ]
            console.print(*shown, style=style, highlight=highlight, soft_wrap=soft_wrap)
            return
        width = shutil.get_terminal_size((_UNLIMITED, 0)).columns
        text = " ".join(
            plain(one, width) if isinstance(one, Table) else tame(str(one)) for one in objects
        )
        bold, dim = style == "bold" or None, style == "dim" or None
        colour = None if bold or dim else style
        typer.secho(text, err=self._stderr, fg=colour, bold=bold, dim=dim)

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[str, int], None]]:
        """Around long work: call it with what begins, and how many of `total` are done."""
        console = self._console()
        if console is None:
            yield lambda name, done: self.print(f"{done}/{total} {name}")
            return
        from rich import progress as rich

        about, bar = rich.TextColumn("{task.description:12}"), rich.BarColumn()
        parts = about, bar, rich.MofNCompleteColumn(), rich.TimeElapsedColumn()
        with rich.Progress(*parts, console=console) as shown:
            task = shown.add_task("", total=total)
            yield lambda name, done: shown.update(task, description=name, completed=done)
            shown.update(task, completed=total)

    @contextmanager
    def picture(self) -> Iterator[Callable[..., None] | None]:
        """One that stays: call it with what it shows now. None: no terminal, or no rich."""
        console = self._console()
        if console is None or not console.is_terminal:
            yield None
            return
        from rich.console import Group
        from rich.live import Live

        with Live(console=console, auto_refresh=False) as live:
            yield lambda *parts: live.update(
                Group(*(_of_rich(part, console.width) for part in parts)), refresh=True
            )

    def _console(self) -> Console | None:
        if self._loaded is None and RICH:
            from rich.console import Console

            highlight = not self._stderr
            self._loaded = Console(stderr=self._stderr, highlight=highlight, markup=False)
            if not self._loaded.is_terminal and "COLUMNS" not in os.environ:
                self._loaded.width = _UNLIMITED
        return self._loaded


def _of_rich(part: Table | str, width: int) -> RenderableType:
    from rich import table as rich
    from rich.text import Text

    if not isinstance(part, Table):
        return tame(part)
    words = longest_words(part)
    if not fits(words, width, between=_FRAME, around=_FRAME + 1):
        return Text(stacked(part, width))
    shown = rich.Table(show_lines=part.lines)
    for number, (column, longest) in enumerate(zip(part.columns, words, strict=True)):
        shown.add_column(column, no_wrap=bool(part.whole and number == 0), min_width=longest)
    for row in part.rows:
        shown.add_row(*(cell if isinstance(cell, str) else Text(*cell) for cell in row))
    return shown
