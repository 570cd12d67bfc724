"""Topic filters (MQTT 5, sections 4.7 and 4.8)."""

from __future__ import annotations

from functools import lru_cache

DEEPEST = 200
"""Levels that a filter may have, as in mosquitto."""


@lru_cache(maxsize=4096)
def matches(name: str, topic: str) -> bool:
    """Whether a topic matches a filter; a leading wildcard does not match ``$…`` [4.7.2-1]."""
    if topic.startswith("$") and name[:1] in {"+", "#"}:
        return False
    levels, parts = name.split("/"), topic.split("/")
    for number, level in enumerate(levels):
        if level == "#":
            return True
        if number >= len(parts) or level not in {"+", parts[number]}:
            return False
    return len(levels) == len(parts)


def covers(rule: str, name: str) -> bool:
    """Whether every topic that matches the filter `name` matches the filter `rule`, too."""
    if name.startswith("$") != rule.startswith("$"):
        return False
    levels, parts = rule.split("/"), name.split("/")
    for number, level in enumerate(levels):
        if level == "#":
            return True
        if number >= len(parts) or parts[number] == "#" or level not in {"+", parts[number]}:
            return False
    return len(levels) == len(parts)


def is_valid_filter(name: str) -> bool:
    """Whether wildcards stand alone on their level, and ``#`` comes last [4.7.1].

    One of more than 200 levels is not valid, either.
    """
    levels = name.split("/")
    if len(levels) > DEEPEST:
        return False
    for number, level in enumerate(levels):
        if "#" in level and (level != "#" or number != len(levels) - 1):
            return False
        if "+" in level and level != "+":
            return False
    return bool(name) and "\0" not in name


def split_share(name: str) -> tuple[str, str] | None:
    """Group and filter of ``$share/<group>/<filter>``; None for a plain filter."""
    if not name.startswith("$share/"):
        return None
    _, group, inner = (name + "//").split("/", 2)
    inner = inner.removesuffix("//") if name.count("/") > 1 else ""
    if "+" in group or "#" in group:  # [MQTT-4.8.2-2]
        return "", ""
    return (group, inner) if group and inner else ("", "")
