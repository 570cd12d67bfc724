"""Actions: requests to the scheduler that people may send from the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from routeq_mqtt.dashboard.api.shown import shown
from routeq_mqtt.dashboard.board import board_of, need_scheduler, user_of
from routeq_mqtt.dashboard.http.body import TooLarge, read_body
from routeq_mqtt.dashboard.http.refusal import refusal
from routeq_mqtt.errors import RouteqError, UnreadableMessage
from routeq_mqtt.wire.observe import catalogue

if TYPE_CHECKING:
    from starlette.requests import Request

ACTIONS = frozenset({
    "cancel", "jobs.run", "jobs.move", "queue.pause", "queue.resume", "queue.limit", "queue.purge",
    "worker.drain", "worker.undrain", "failed.retry", "failed.forget", "failed.bulk", "bulk.stop",
    "schedule.run", "schedule.pause", "schedule.resume", "schedule.forget", "batch.cancel",
    "device.forget",
})  # fmt: skip
"""Methods of the scheduler. Who may act may ask for these; all else is for programs."""

_MOST = 1 << 20
"""Bytes of arguments: ids of everything that somebody can select by hand."""

_WITHIN = 60.0
"""Seconds: the scheduler may be busy with 100,000 records."""


async def act(request: Request) -> object:
    """Do what was asked for, and write down who asked."""
    board, method = board_of(request), request.path_params["method"]
    if method not in ACTIONS:
        return refusal(404, f"there is no action {method[:80]!r}; there are: {_listed()}")
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return refusal(415, "arguments are JSON: Content-Type: application/json")
    try:
        args = _read(await read_body(request, _MOST))
    except TooLarge:
        return refusal(413, f"arguments of more than {_MOST:,} bytes")
    wanted = catalogue.read(method, args)
    need_scheduler(board.bus)
    client = request.client.host if request.client is not None else "?"
    outcome = "no answer"
    try:
        reply = await board.bus.requests.ask(
            wanted, timeout=_WITHIN, by=f"dashboard: {user_of(request).name}"
        )
        outcome = "done"
    except RouteqError as error:
        outcome = str(error)[:200]
        raise
    finally:
        board.audit.note(
            user=user_of(request).name, address=client, action=method, args=args, outcome=outcome
        )
    return shown(reply, board.redactor)


def _read(body: bytes) -> dict[str, Any]:
    try:
        args = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise UnreadableMessage("the arguments are no JSON") from None
    if not isinstance(args, dict):
        raise UnreadableMessage(f"the arguments are a map, not {type(args).__name__}")
    return args


def _listed() -> str:
    return ", ".join(sorted(ACTIONS))
