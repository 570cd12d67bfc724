"""A reply of the scheduler as people may see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.dashboard.redaction import Redactor

_LEFT_OUT = frozenset({"envelope", "run", "wait", "bounds"})
"""Whole messages, which are shown field by field or not at all; histograms, of which the page shows
the percentiles."""

_DATA = frozenset({"data", "headers", "value"})
_ERRORS = frozenset({"error", "message", "traceback"})


def shown(reply: object, redactor: Redactor) -> object:
    """A reply as plain values, without secrets."""
    if is_dataclass(reply) and not isinstance(reply, type):
        return shown(asdict(reply), redactor)
    if isinstance(reply, list | tuple):
        return [shown(part, redactor) for part in reply]
    if isinstance(reply, Mapping):
        return {
            key: _part(key, part, redactor) for key, part in reply.items() if key not in _LEFT_OUT
        }
    return reply


def _part(key: object, part: object, redactor: Redactor) -> object:
    if key in _DATA:
        return redactor.data(part)
    if key in _ERRORS and isinstance(part, str):
        return redactor.error(part)
    if key == "progress" and isinstance(part, list) and len(part) == 3:
        return [*part[:2], redactor.data(part[2])]
    return shown(part, redactor)
