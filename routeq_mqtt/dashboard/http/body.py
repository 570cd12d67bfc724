"""The body of a request, bounded, so that it cannot fill our memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request


class TooLarge(Exception):
    """It is longer than it may be."""


async def read_body(request: Request, most: int) -> bytes:
    """The body.

    Args:
        request: whose.
        most: bytes that it may have.

    Raises:
        TooLarge: it has more.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge
    return bytes(body)
