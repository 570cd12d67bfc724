"""What people must not see although they may look: secrets by the names of their fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "password", "passwd", "passphrase", "secret", "token", "api_key", "access_key", "private_key",
    "authorization", "credential", "cookie", "session_id", "card_number", "cvv", "iban", "ssn",
)  # fmt: skip
"""A field whose name contains one of these, whatever its case and punctuation, is not shown."""

REDACTED = "[redacted]"
HIDDEN = "[hidden]"

_DEEPEST = 60
_LONGEST_TEXT = 100_000
_NO_LETTER = re.compile(r"[^a-z0-9]+")


class Redactor:
    """Takes secrets out of what the page gets.

    Args:
        names: of further fields.
        hide_data: nothing of what jobs hold and return is shown, nor what their errors say.
    """

    def __init__(self, names: Iterable[str] = (), *, hide_data: bool = False) -> None:
        self.hide_data = hide_data
        self._names = tuple(filter(None, map(_letters, (*NAMES, *names))))
        found = "|".join(re.escape(name) for name in (*NAMES, *names) if name)
        found = found.replace("_", "[-_ ]?")
        # Every repetition is bounded: hostile text must not make the search go back over all of it.
        self._in_text = re.compile(
            rf"(?i)((?:{found})[\w-]{{0,40}}[\"']?\s{{0,5}}[:=]\s{{0,5}})"
            r"(\"[^\"]{0,500}\"?|'[^']{0,500}'?|[^\s,;&)}\]]{1,500})"
        )

    def is_secret(self, name: str) -> bool:
        """Whether a field of this name is not shown."""
        letters = _letters(name)
        return any(secret in letters for secret in self._names)

    def data(self, value: object) -> object:
        """What a job holds, returns or reports."""
        return HIDDEN if self.hide_data and value is not None else self._value(value, 0)

    def error(self, text: str | None) -> str | None:
        """An error or a traceback; of a hidden one its class is left."""
        if text is None:
            return None
        if self.hide_data:
            kind = text.partition(":")[0]
            return f"{kind}: {HIDDEN}" if re.fullmatch(r"[\w.]{1,100}", kind) else HIDDEN
        return self.text(text)

    def text(self, text: str) -> str:
        """A text without what looks like ``password=…`` or ``"token": "…"``."""
        return self._in_text.sub(rf"\1{REDACTED}", text[:_LONGEST_TEXT])

    def _value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self.text(value)
        if depth >= _DEEPEST:
            return "…" if isinstance(value, Mapping | list | tuple) else value
        if isinstance(value, Mapping):
            return {
                key: REDACTED
                if isinstance(key, str) and self.is_secret(key)
                else self._value(part, depth + 1)
                for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._value(part, depth + 1) for part in value]
        return value


def _letters(name: str) -> str:
    return _NO_LETTER.sub("", name.lower())
