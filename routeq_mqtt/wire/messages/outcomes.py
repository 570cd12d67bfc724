"""Outcomes of jobs that have a row, many in one message: from the workers to the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

Word = Literal["done", "cancelled", "started"]
Outcome = tuple[str, int, Word, str | None]
"""Key of the row, the attempt, what became of it, and the envelope's field `row`."""

_LONGEST, _LONGEST_ROW, _LATEST = 200, 300, 1 << 53
_WORDS = frozenset({"done", "cancelled", "started"})


def encode_outcomes(outcomes: Iterable[tuple[str, int, str | None]], word: Word = "done") -> bytes:
    """As a list of ``[key, attempt, word, row]``.

    Without its row where there is none, as a scheduler of an earlier version takes it.
    """
    short = [] if word == "done" else [word]
    return pack(
        [
            [key, attempt, *short] if row is None else [key, attempt, word, row]
            for key, attempt, row in outcomes
        ]
    )


def decode_outcomes(payload: bytes) -> list[Outcome]:
    """From msgpack.

    Raises:
        UnreadableMessage: it is invalid; says what is wrong.
    """
    raw = unpack(payload)
    if type(raw) is not list:
        raise UnreadableMessage(f"{_NEEDED}, not {type(raw).__name__}")
    outcomes: list[Outcome] = []
    for item in raw:
        if type(item) is list and len(item) == 4:  # nearly all of them: hundreds in one message
            key, attempt, word, row = item
            if (
                word == "done"
                and type(key) is str
                and 0 < len(key) <= _LONGEST
                and key.isprintable()
                and (type(attempt) is int and 0 < attempt < _LATEST)
                and (type(row) is str and 0 < len(row) <= _LONGEST_ROW and row.isprintable())
            ):
                outcomes.append((key, attempt, "done", row))
                continue
        outcomes.append(_outcome(item))
    return outcomes


def _outcome(item: Any) -> Outcome:  # noqa: ANN401 - whatever came
    if type(item) is not list or not 2 <= len(item) <= 4:
        checks.refuse("an outcome", item, "[job id, attempt, outcome, row], the last two or none")
    word = item[2] if len(item) > 2 else "done"
    if type(word) is not str or word not in _WORDS:
        checks.refuse("an outcome", word, "done, cancelled or started")
    row = _row(item[3]) if len(item) > 3 else None
    return _id(item[0]), _attempt(item[1]), cast("Word", word), row


_NEEDED = "outcomes are a list of [job id, attempt, outcome, row]"
_id = checks.text("id", _LONGEST)
_attempt = checks.count("attempt", 1)
_row = checks.text("row", _LONGEST_ROW)
