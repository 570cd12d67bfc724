"""A trigger: which messages become jobs, and how topic and payload become fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.reading import reading
from routeq_mqtt.wire.shown import shown

_NAMED = re.compile(r"\{([A-Za-z]\w*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger.

    Attributes:
        pattern: an MQTT filter, in which ``{name}`` is a ``+`` that becomes a field:
            ``devices/{device_id}/telemetry``.
        job: wire name of the job that each message becomes.
        queue: where that goes.
        with_topic: the job has a field `topic`; it gets the whole topic.
    """

    pattern: str
    job: str
    queue: str
    with_topic: bool = False

    @property
    def filter(self) -> str:
        """As MQTT has it."""
        return "/".join("+" if _NAMED.fullmatch(level) else level for level in self._levels)

    @property
    def names(self) -> list[str]:
        """Fields that come from the topic."""
        found = (_NAMED.fullmatch(level) for level in self._levels)
        return [level[1] for level in found if level is not None]

    @property
    def _levels(self) -> list[str]:
        return self.pattern.split("/")

    def match(self, topic: str) -> dict[str, str] | None:
        """The fields that a topic gives; None: it does not match."""
        levels, parts = self._levels, topic.split("/")
        if levels[-1] == "#":
            levels = levels[:-1]
            if len(parts) < len(levels):
                return None
            parts = parts[: len(levels)]
        if len(levels) != len(parts):
            return None
        fields = {}
        for level, part in zip(levels, parts, strict=True):
            named = _NAMED.fullmatch(level)
            if named is not None:
                fields[named[1]] = part
            elif level not in {"+", part}:
                return None
        return fields

    def data(self, topic: str, payload: bytes) -> dict[str, Any]:
        """The fields of the job that a message becomes.

        The keys of a map are fields; anything else is the field `payload`. What the topic says
        beats what the payload says: a broker's access control knows topics only.

        Raises:
            UnreadableMessage: the payload begins as a map and is none.
        """
        value = reading(payload)
        fields = value if isinstance(value, dict) else {"payload": value}
        own = {"topic": topic} if self.with_topic else {}
        return fields | own | (self.match(topic) or {})


def check_pattern(pattern: str, where: str, *, reserved: tuple[str, ...] = ()) -> None:
    """Check a pattern.

    Args:
        pattern: to check.
        where: what the error names.
        reserved: beginnings of topics that are the bus's own.

    Raises:
        ConfigurationError: it is no pattern, or takes in topics of the bus itself.
    """
    levels = pattern.split("/")
    names = [level for level in levels if "{" in level or "}" in level]
    wrong = [level for level in names if _NAMED.fullmatch(level) is None]
    if not pattern or "\0" in pattern or len(pattern.encode("utf-8", "replace")) > 65_535:
        raise ConfigurationError(f"{where}={shown(pattern)} must be an MQTT topic filter")
    if wrong:
        raise ConfigurationError(
            f"{where}={shown(pattern)}: {wrong[0]!r} must be a whole level with a name in braces, "
            "for example {device_id}"
        )
    if len(names) != len(set(names)):
        raise ConfigurationError(f"{where}={shown(pattern)} names one field twice")
    if "#" in levels[:-1] or any(len(one) > 1 and set(one) & {"#", "+"} for one in levels):
        raise ConfigurationError(
            f"{where}={shown(pattern)}: + and # are whole levels, and # is the last one"
        )
    first = levels[0]
    if first in {"+", "#"} or first.startswith(("$", "{")):
        raise ConfigurationError(
            f"{where}={shown(pattern)} must begin with a level of its own, since the bus's own "
            "messages would match it, too"
        )
    if f"{pattern}/".startswith(reserved):
        raise ConfigurationError(f"{where}={shown(pattern)} takes in the bus's own topics")
