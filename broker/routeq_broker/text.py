"""Text from outside, made safe for a log line."""

from __future__ import annotations

_LONGEST = 200


def shown(text: str) -> str:
    r"""A client identifier, user name or topic as a log line may hold it.

    Plain words stay as they are. Everything else is quoted, with control characters and the like
    escaped (``'a\nb'``), so that it can neither start a line of its own nor repaint a terminal.
    At most 200 characters are shown.
    """
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    plain = cut.isprintable() and cut and not any(mark in cut for mark in " '\"=")
    return cut if plain else repr(cut)
