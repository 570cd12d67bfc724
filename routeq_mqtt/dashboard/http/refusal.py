"""An error as every part of the API says it."""

from __future__ import annotations

from starlette.responses import JSONResponse


def refusal(status: int, error: str) -> JSONResponse:
    """A status and one sentence."""
    return JSONResponse({"error": error}, status)
