"""Filters of MQTT that overlap: a broker may send a message once for each (MQTT 5, 3.3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def overlap(one: str, other: str) -> bool:
    """Whether some topic matches both."""
    return _overlap(one.split("/"), other.split("/"))


def _overlap(one: list[str], other: list[str]) -> bool:
    if one[:1] == ["#"] or other[:1] == ["#"]:
        return True
    if not one or not other:
        return one == other or (one or other) == ["#"]  # a/# matches a, too
    same = one[0] == other[0] or "+" in {one[0], other[0]}
    return same and _overlap(one[1:], other[1:])


def covering(one: str, other: str) -> str:
    """The narrowest filter that matches whatever one of them matches."""
    levels: list[str] = []
    first, second = one.split("/"), other.split("/")
    for number in range(max(len(first), len(second))):
        pair = {*first[number : number + 1], *second[number : number + 1]}
        if "#" in pair or len(first) <= number or len(second) <= number:
            return "/".join([*levels, "#"])
        levels.append(pair.pop() if len(pair) == 1 else "+")
    return "/".join(levels)


def without_overlap(filters: Collection[str]) -> list[str]:
    """Filters that match at least the same topics, and no topic twice; sorted."""
    apart: list[str] = []
    for one in sorted(filters):
        wide = one
        while True:
            near = [other for other in apart if overlap(wide, other)]
            if not near:
                break
            apart = [other for other in apart if other not in near]
            for other in near:
                wide = covering(wide, other)
        apart.append(wide)
    return sorted(apart)
