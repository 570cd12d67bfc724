"""Answers of the API: JSON, and an error that says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from routeq_mqtt.dashboard.http.refusal import refusal
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    NoScheduler,
    PublishRefused,
    RequestFailed,
    RouteqError,
    UnreadableMessage,
)
from routeq_mqtt.wire.plain_json import to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

Answer = "Callable[[Request], Awaitable[Any]]"

_STATUS: tuple[tuple[type[RouteqError], int], ...] = (
    (NoScheduler, 503),
    (ConnectionFailed, 503),
    (ConnectionLost, 503),
    (PublishRefused, 403),
    (RequestFailed, 422),
    (UnreadableMessage, 400),
    (ConfigurationError, 400),
)


def answering(
    handler: Callable[[Request], Awaitable[Any]],
) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of a function that returns any value of the wire."""

    async def endpoint(request: Request) -> Response:
        try:
            value = await handler(request)
        except RouteqError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            return refusal(status, str(error)[:2_000])
        if isinstance(value, Response):
            return value
        return Response(to_json(value), media_type="application/json")

    return endpoint
