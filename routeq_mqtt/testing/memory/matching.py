"""Topic filters (MQTT 5, 4.7 and 4.8.2)."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def matches(name: str, topic: str) -> bool:
    """Whether a topic matches a filter; a leading wildcard does not match ``$…`` [4.7.2-1]."""
    if topic.startswith("$") and name.startswith(("+", "#")):
        return False
    wanted, given = name.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        given = given[: len(wanted)]  # "a/#" matches "a", too
    return len(wanted) == len(given) and all(
        level in {"+", part} for level, part in zip(wanted, given, strict=True)
    )


def is_valid(name: str) -> bool:
    """Whether each wildcard has a level to itself, and ``#`` is the last."""
    *levels, last = name.split("/")
    return (
        bool(name)
        and all(level == "+" or not {"+", "#"} & set(level) for level in levels)
        and (last in {"+", "#"} or not {"+", "#"} & set(last))
    )


def split_share(name: str) -> tuple[str, str] | None:
    """Group and inner filter of ``$share/<group>/<filter>``; None for a plain filter."""
    if not name.startswith("$share/"):
        return None
    group, _, inner = name.removeprefix("$share/").partition("/")
    return group, inner
