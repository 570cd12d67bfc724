"""Values of strangers in error messages: short, and without surprises."""

from __future__ import annotations

_LONGEST = 80


def shown(value: object) -> str:
    """A value as an error message shows it, at most 80 characters.

    A container shows its type and size only: its `repr` may be huge, or nested too deeply for it.
    """
    if isinstance(value, list | tuple | dict | set | frozenset) and value:
        return f"<{type(value).__name__} of {len(value)}>"
    try:
        text = repr(value[:_LONGEST] if isinstance(value, str | bytes) else value)
    except ValueError:  # a number of more digits than Python prints
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def readable(text: str) -> str:
    """A text without what cannot be encoded: file names and error messages may hold surrogates."""
    return text.encode("utf-8", "replace").decode()
