"""The errors of a job's attempts, which travel with it: bounded, since a job may be tried often."""

from __future__ import annotations

from typing import Any

from routeq_mqtt.wire.display import readable

MOST = 20
"""Attempts that are kept: the first, which often says most, and the latest."""

LONGEST = 4_000
"""Characters of one text: of a traceback its end, of anything else its beginning."""


def bounded(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most 20 of the errors, each with texts that are bounded and can be encoded."""
    kept = errors if len(errors) <= MOST else [errors[0], *errors[1 - MOST :]]
    return [{key: _bounded(key, part) for key, part in error.items()} for error in kept]


def _bounded(key: str, part: object) -> object:
    if not isinstance(part, str):
        return part
    return readable(part[-LONGEST:] if key == "traceback" else part[:LONGEST])
