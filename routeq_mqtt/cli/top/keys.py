"""What each key of `top` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.cli.top.view import PANES, SORTS, Cursor, rows_of
from routeq_mqtt.errors import RouteqError
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.observe.asks import FailedBulk

if TYPE_CHECKING:
    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.cli.top.board import Board


def move(board: Board, cursor: Cursor, key: str) -> bool:
    """Select, or sort; whether the key does that."""
    rows = rows_of(board, cursor)
    if key == "\t":
        cursor.pane, cursor.row = (cursor.pane + 1) % len(PANES), 0
    elif key == "j":
        cursor.row = min(cursor.row + 1, max(0, len(rows) - 1))
    elif key == "k":
        cursor.row = max(0, cursor.row - 1)
    elif key == "s":
        cursor.sort = (cursor.sort + 1) % len(SORTS)
        cursor.said = f"queues sorted by {SORTS[cursor.sort]}"
        return True
    else:
        return False
    cursor.said = ""
    return True


def order_of(board: Board, cursor: Cursor, key: str) -> tuple[Any, str] | None:
    """The request that a key stands for, and what it does, in words; None: nothing here."""
    rows = rows_of(board, cursor)
    if cursor.row >= len(rows):
        return None
    pane, row = PANES[cursor.pane], rows[cursor.row]
    if pane == "queues":
        queue = row.numbers.queue
        found = {
            "p": (requests.QueuePause(queue=queue), f"paused {queue}"),
            "r": (requests.QueueResume(queue=queue), f"resumed {queue}"),
            "t": (FailedBulk(action="retry", queue=queue), f"retrying what failed in {queue}"),
        }
        return found.get(key)
    if pane == "running" and key == "c":
        return requests.Cancel(ids=[row.id]), f"asked to cancel {row.id}"
    if pane == "workers" and key in {"d", "r"}:
        worker = row.status.id
        if key == "d":
            return requests.WorkerDrain(worker=worker), f"drained {worker}"
        return requests.WorkerUndrain(worker=worker), f"undrained {worker}"
    if pane == "failures" and key == "t":
        asked = FailedBulk(
            action="retry", queue=row.queue, job=row.job, reason=row.reason,
            exception=row.exception,
        )  # fmt: skip
        return asked, f"retrying {row.count} records of {row.job or '?'}"
    return None


async def press(bus: Bus, board: Board, cursor: Cursor, key: str) -> None:
    """Do what a key stands for, and say what became of it."""
    if move(board, cursor, key):
        return
    order = order_of(board, cursor, key)
    if order is None:
        cursor.said = ""
        return
    asked, words = order
    try:
        await bus.requests.ask(asked)
        cursor.said = words
    except RouteqError as error:
        cursor.said = f"not done: {error}"
