"""Values of strangers in error messages: short, and without surprises."""

from __future__ import annotations

from datetime import UTC, datetime

_LONGEST = 80


def shown(value: object) -> str:
    """A value as an error message shows it, at most 80 characters.

    A container shows its type and size only, unless it is a short list of plain values: its `repr`
    may be huge, or nested too deeply for it.
    """
    if isinstance(value, list | tuple | dict | set | frozenset) and value and not _is_short(value):
        return f"<{type(value).__name__} of {len(value)}>"
    try:
        text = repr(value[:_LONGEST] if isinstance(value, str | bytes) else value)
    except ValueError:  # a number of more digits than Python prints
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_short(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) <= 4 and all(map(_is_plain, value))


def _is_plain(part: object) -> bool:
    if isinstance(part, str):
        return len(part) <= 20
    return type(part) is float or (isinstance(part, int | None) and abs(part or 0) < 1 << 53)


def moment(seconds: float | None) -> str:
    """UTC epoch seconds as ``2026-11-30T03:00:00Z``; as a number where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(seconds or 0.0, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def readable(text: str) -> str:
    """A text without what cannot be encoded: file names and error messages may hold surrogates."""
    return text.encode("utf-8", "replace").decode()


_UNSEEN = (0x061C, 0x200B, 0x200E, 0x200F, 0xFEFF)
_TURNING = (*range(0x2028, 0x202F), *range(0x2060, 0x206A))

_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
} | {code: f"\\u{code:04x}" for code in (*_UNSEEN, *_TURNING, *range(0xE0000, 0xE0080))}


def tame(text: str) -> str:
    """A text whose control characters are written out, but for newline and tab.

    Names and errors come from any publisher; as they are, they could repaint the terminal of
    who looks at them. Invisible characters, and those that turn the direction of writing,
    are written out, too: a name is what it looks like.
    """
    return text.translate(_CONTROLS)
