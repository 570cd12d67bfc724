"""Which jobs an operator looks for: by class, time, a field of their data, or any text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.observe.answers import JobRow
    from routeq_mqtt.wire.observe.asks import JobsList

_MISSING = object()


def matches(row: JobRow, envelope: Envelope | None, asked: JobsList) -> bool:
    """Whether a job is one of those that are looked for; its message may be unreadable."""
    if asked.job is not None and row.job != asked.job:
        return False
    if asked.queue is not None and row.queue != asked.queue:
        return False
    if (asked.since is not None and row.at < asked.since) or (
        asked.until is not None and row.at >= asked.until
    ):
        return False
    data = {} if envelope is None else envelope.data
    if any(not _is(_at(data, path), wanted) for path, wanted in asked.where.items()):
        return False
    return asked.text is None or contains(row, data, asked.text)


def contains(row: JobRow, data: dict[str, Any], text: str) -> bool:
    """Whether a text is in the id, the class, the error or the data; upper and lower case alike."""
    wanted = text.lower()
    for part in (row.id, row.job, row.error, row.worker):
        if part and wanted in part.lower():
            return True
    return bool(data) and wanted in _text_of(data).lower()


def _text_of(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, default=str)


def _at(data: Any, path: str) -> Any:  # noqa: ANN401 - whatever a job holds
    """What a path leads to: keys of maps, positions in lists; `_MISSING`: nowhere."""
    for step in path.split(".")[1:]:
        if isinstance(data, dict):
            data = data.get(step, _MISSING)
        elif isinstance(data, list | tuple) and step.isdecimal() and int(step) < len(data):
            data = data[int(step)]
        else:
            return _MISSING
    return data


def _is(found: Any, wanted: Any) -> bool:  # noqa: ANN401 - whatever a job holds
    """Equal, or the same as text: in a search field all that is typed is text."""
    if found is _MISSING:
        return False
    if isinstance(wanted, str) and not isinstance(found, str):
        return _as_text(found) == wanted
    return (type(found) is type(wanted) and bool(found == wanted)) or (
        _is_number(found) and _is_number(wanted) and found == wanted
    )


def _is_number(value: Any) -> bool:  # noqa: ANN401 - whatever a job holds
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_text(value: Any) -> str:  # noqa: ANN401 - whatever a job holds
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)
