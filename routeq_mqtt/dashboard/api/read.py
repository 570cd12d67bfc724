"""What the page asks for when somebody opens it: requests to the scheduler that change nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse

from routeq_mqtt.dashboard.api.shown import shown
from routeq_mqtt.dashboard.board import board_of, need_scheduler
from routeq_mqtt.dashboard.http.refusal import refusal
from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.observe import catalogue
from routeq_mqtt.wire.observe.asks import MetricsText

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from routeq_mqtt.dashboard.redaction import Redactor

READS = frozenset({
    "jobs.list", "jobs.show", "failed.groups", "failed.count", "failed.show", "bulk.list",
    "stats.history", "audit.list", "schedule.list", "device.list", "trigger.list", "orders",
    "batch.show", "batch.list", "chain.list", "rollout.list", "rollout.show",
    "limit.list", "lock.list",
})  # fmt: skip
"""Methods of the scheduler that people may ask for."""

_LONGEST = 8_000


async def ask(request: Request) -> object:
    """Ask the scheduler; ``?args=`` holds the arguments as JSON."""
    board, method = board_of(request), request.path_params["method"]
    if method not in READS:
        return refusal(404, f"there is no request {method[:80]!r}")
    args = _read(request.query_params.get("args", ""))
    _refuse_guessing(args, board.redactor)
    wanted = catalogue.read(method, args)
    need_scheduler(board.bus)
    reply = await board.bus.requests.ask(wanted)
    return shown(reply, board.redactor)


def _read(text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise UnreadableMessage(f"args: more than {_LONGEST:,} characters")
    try:
        args = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise UnreadableMessage(f"args={text[:80]!r} is no JSON") from None
    if not isinstance(args, dict):
        raise UnreadableMessage(f"args: a map is needed, not {type(args).__name__}")
    return args


def _refuse_guessing(args: dict[str, Any], redactor: Redactor) -> None:
    """What is not shown cannot be searched either: each search would be a guess at it."""
    where = args.get("where")
    paths = list(where) if isinstance(where, dict) else []
    if redactor.hide_data and (paths or args.get("text")):
        raise UnreadableMessage("data of jobs are hidden here, so they cannot be searched")
    secret = [path for path in paths if any(map(redactor.is_secret, path.split(".")[1:]))]
    if secret:
        raise UnreadableMessage(f"{secret[0][:80]!r} is redacted here, so it cannot be searched")


async def metrics(request: Request) -> Response:
    """All numbers of the bus, for Prometheus."""
    board = board_of(request)
    need_scheduler(board.bus)
    text = await board.bus.requests.ask(MetricsText())
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def audit(request: Request) -> list[dict[str, Any]]:
    """The last actions of this dashboard."""
    return list(board_of(request).audit.entries)
