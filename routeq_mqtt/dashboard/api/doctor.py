"""What `routeq-mqtt doctor` finds, as the page asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.dashboard.board import board_of

if TYPE_CHECKING:
    from starlette.requests import Request


async def checks(request: Request) -> list[dict[str, Any]]:
    """What `routeq-mqtt doctor` finds."""
    return await board_of(request).doctor.checks()
