"""A trigger: which messages become jobs, and how topic and payload become fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.filters import overlap
from routeq_mqtt.wire.messages.device_payload import reading

Payload = Literal["bytes", "text"]

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
        payload: what the job's field `payload` is annotated as; None: whatever it looks like.
        maps: the job has other fields, which the keys of a map go to.
    """

    pattern: str
    job: str
    queue: str
    with_topic: bool = False
    payload: Payload | None = None
    maps: bool = True

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

        The keys of a map are fields; anything else is the field `payload`, whose type decides:
        bytes are the bytes that were sent, a text is a text whatever it looks like. What the topic
        says beats what the payload says: a broker's access control knows topics only.

        Raises:
            UnreadableMessage: the payload begins like a map but is not a valid one, or should be a
                text and is not.
        """
        value = self._reading(payload)
        fields = value if isinstance(value, dict) else {"payload": value}
        own = {"topic": topic} if self.with_topic else {}
        return fields | own | (self.match(topic) or {})

    def _reading(self, payload: bytes) -> Any:  # noqa: ANN401 - whatever was sent
        if self.payload is None:
            return reading(payload)
        if self.maps and isinstance(value := _map_in(payload), dict):
            return value
        if self.payload == "bytes":
            return payload
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise UnreadableMessage(f"payload is to be a text and is no UTF-8: {error}") from None


def _map_in(payload: bytes) -> object:
    """What it says, where that is a map; bytes and texts may begin as one and be none."""
    try:
        return reading(payload)
    except UnreadableMessage:
        return None


def check_payload(value: Any) -> Payload | None:  # noqa: ANN401 - whatever came
    """How a field `payload` takes what was sent.

    Raises:
        ConfigurationError: it is not 'bytes', 'text' or None.
    """
    if value not in {"bytes", "text", None}:
        raise ConfigurationError(f"trigger: payload={shown(value)} must be 'bytes', 'text' or None")
    return cast("Payload | None", value)


def check_pattern(pattern: str, where: str, *, reserved: tuple[str, ...] = ()) -> None:
    """Check a pattern.

    Args:
        pattern: to check.
        where: what the error names.
        reserved: beginnings of topics that are the bus's own.

    Raises:
        ConfigurationError: it is not a pattern, or takes in topics of the bus itself.
    """
    if not isinstance(pattern, str):
        raise ConfigurationError(f"{where}={shown(pattern)} must be an MQTT topic filter")
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
    wide = "/".join("+" if level in names else level for level in levels)
    if any(overlap(wide, f"{one}#") for one in reserved):
        raise ConfigurationError(f"{where}={shown(pattern)} takes in the bus's own topics")
