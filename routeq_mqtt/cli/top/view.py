"""How `top` looks: four tables, of which one has a selected row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_mqtt.cli.output.columns import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.cli.top.board import Board, QueueLine

PANES = ("queues", "running", "workers", "failures")
SORTS = ("name", "waiting", "oldest", "failed")
KEYS = (
    "tab: table  j k: select  p: pause  r: resume  t: retry failed  c: cancel  d: drain  s: sort  "
    "q: quit"
)
_BARS = " ▁▂▃▄▅▆▇█"
_ROWS = {"queues": 20, "running": 10, "workers": 10, "failures": 8}


@dataclass(slots=True)
class Cursor:
    """What is selected, and how queues are sorted.

    Attributes:
        said: what became of the last key.
    """

    pane: int = 0
    row: int = 0
    sort: int = 0
    said: str = ""


def sparkline(values: Sequence[int]) -> str:
    """Bars as high as the largest value."""
    most = max(values, default=0)
    if not most:
        return " " * len(values)
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // most)] for value in values)


def sorted_queues(board: Board, by: str) -> list[QueueLine]:
    """Queues by name, or those with the most first."""

    def key(line: QueueLine) -> tuple[float, str]:
        one = line.numbers
        first = {
            "waiting": -float(waiting(line)),
            "oldest": float("inf") if one.oldest_at is None else one.oldest_at,
            "failed": -float(one.failed),
        }
        return first.get(by, 0.0), one.queue

    return sorted(board.queues.values(), key=key)


def waiting(line: QueueLine) -> int:
    """Jobs that are due and do not run."""
    one = line.numbers
    return one.parked + one.waiting + one.limited


def rows_of(board: Board, cursor: Cursor) -> list[Any]:
    """What the selected table shows, in its order."""
    pane = PANES[cursor.pane]
    if pane == "queues":
        return sorted_queues(board, SORTS[cursor.sort])
    if pane == "running":
        return board.running()
    return board.workers() if pane == "workers" else board.failures


def tables(board: Board, cursor: Cursor, now: float, *, away: bool = False) -> list[Table | str]:
    """The whole picture."""
    lines: list[Table | str] = [f"! {alert.text}" for alert in board.alerts]
    if away:
        lines.append("the broker is away; this is what was known")
    parts = [_queues, _running, _workers, _failures]
    for number, (pane, draw) in enumerate(zip(PANES, parts, strict=True)):
        chosen = cursor.row if number == cursor.pane else None
        shown = draw(board, cursor, now)
        if shown.rows or number == cursor.pane:
            lines.append(_marked(shown, chosen, _ROWS[pane]))
    lines.append(cursor.said or KEYS)
    return lines


def _marked(table: Table, chosen: int | None, most: int) -> Table:
    """The rows that fit, the chosen one among them and marked."""
    first = 0 if chosen is None else max(0, chosen - most + 1)
    rows = list(enumerate(table.rows))[first : first + most]
    table.rows = [
        tuple(_bold(cell) for cell in row) if number == chosen else row for number, row in rows
    ]
    return table


def _bold(cell: Cell) -> Cell:
    return (cell if isinstance(cell, str) else cell[0], "reverse")


def _queues(board: Board, cursor: Cursor, now: float) -> Table:
    table = Table(
        "queue", "waiting", "running", "delayed", "held", "failed", "oldest", "workers", "done",
        "ended", "", whole=1,
    )  # fmt: skip
    for line in sorted_queues(board, SORTS[cursor.sort]):
        one = line.numbers
        state = "paused" if one.paused else ("" if one.rate is None else "limited")
        table.add_row(
            one.queue, f"{waiting(line)}{'' if one.exact else '+'}", f"{one.running}/{one.slots}",
            str(one.delayed), str(one.held), _loud(one.failed), _age(one.oldest_at, now),
            str(one.workers), str(one.done_total), sparkline(line.ended), state,
        )  # fmt: skip
    return table


def _loud(number: int) -> Cell:
    return (str(number), "red") if number else "0"


def _age(since: float | None, now: float) -> str:
    if since is None:
        return ""
    seconds = max(0.0, now - since)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _running(board: Board, cursor: Cursor, now: float) -> Table:
    table = Table("running job", "class", "queue", "attempt", "worker", "progress", whole=1)
    for one in board.running():
        table.add_row(
            one.id, one.job or "?", one.queue or "?", str(one.attempt), one.worker,
            _progress(one.progress),
        )  # fmt: skip
    return table


def _progress(said: Sequence[Any] | None) -> str:
    if said is None:
        return ""
    done, total, note = said
    share = f"{100 * done / total:.0f} %" if total else f"{done:g}"
    return f"{share} {note}".strip()


def _workers(board: Board, cursor: Cursor, now: float) -> Table:
    table = Table("worker", "state", "queues", "running", "done", "failed", whole=1)
    for one in board.workers():
        if one.status is not None:
            state = "drained" if one.load.drained else one.status.state
            table.add_row(
                one.status.id, state, ",".join(one.status.queues),
                f"{sum(one.load.active.values())}/{one.status.concurrency}",
                str(one.load.counters.get("done", 0)), str(one.load.counters.get("failed", 0)),
            )  # fmt: skip
    return table


def _failures(board: Board, cursor: Cursor, now: float) -> Table:
    table = Table("failed job", "queue", "reason", "exception", "records", "last", whole=1)
    for one in board.failures:
        table.add_row(
            one.job or "?", one.queue, one.reason, one.exception, str(one.count),
            f"{_age(one.last_at, now)} ago",
        )  # fmt: skip
    return table
