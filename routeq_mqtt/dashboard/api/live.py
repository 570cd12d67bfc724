"""The state, once or as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from routeq_mqtt.dashboard.board import board_of, user_of
from routeq_mqtt.dashboard.live.state import as_message

if TYPE_CHECKING:
    from starlette.requests import Request


async def state(request: Request) -> Response:
    """All facts, and what the page has to know of itself."""
    board = board_of(request)
    facts = await board.state.now()
    return Response(as_message(board.clock.now(), facts, []), media_type="application/json")


async def about(request: Request) -> dict[str, object]:
    """Who looks, and how this dashboard is set up."""
    board, user = board_of(request), user_of(request)
    return {
        "user": user.name,
        "may_act": user.may_act,
        "environment": board.options.environment,
        "trace_url": board.options.trace_url,
        "hide_data": board.options.hide_data,
        "now": board.clock.now(),
    }


async def stream(request: Request) -> Response:
    """The facts that change, as server-sent events."""
    board = board_of(request)
    headers = {"x-accel-buffering": "no", "cache-control": "no-store"}
    return StreamingResponse(
        board.streams.follow(_browser(request)), media_type="text/event-stream", headers=headers
    )


def _browser(request: Request) -> str:
    """Whose connections a stream takes one of: tabs of one browser look the same."""
    client = request.client.host if request.client is not None else ""
    return f"{user_of(request).name}\n{client}\n{request.headers.get('user-agent', '')[:300]}"
