"""A tree of topic filters: what a lookup costs depends on the topic's levels, not on the filters.

Filters without wildcards are in a dict beside it. A filter that is removed takes its branch along.
"""

from __future__ import annotations

from typing import Generic, TypeVar

_T = TypeVar("_T")


class _Node(Generic[_T]):
    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Node[_T]] = {}
        self.value: _T | None = None


class FilterTree(Generic[_T]):
    """One value for each filter; `matching` gives those of all filters that a topic matches."""

    def __init__(self) -> None:
        self._exact: dict[str, _T] = {}
        self._root: _Node[_T] = _Node()

    def __len__(self) -> int:
        return len(self._exact) + _count(self._root)

    def get(self, name: str) -> _T | None:
        """The value of exactly this filter."""
        if not has_wildcard(name):
            return self._exact.get(name)
        node: _Node[_T] | None = self._root
        for level in name.split("/"):
            node = node.children.get(level) if node is not None else None
        return node.value if node is not None else None

    def set(self, name: str, value: _T) -> None:
        """Give a filter its value."""
        if not has_wildcard(name):
            self._exact[name] = value
            return
        node = self._root
        for level in name.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        node.value = value

    def remove(self, name: str) -> None:
        """Forget a filter; nothing happens where it is not known."""
        if not has_wildcard(name):
            self._exact.pop(name, None)
            return
        path: list[tuple[_Node[_T], str]] = []
        node = self._root
        for level in name.split("/"):
            child = node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        node.value = None
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.children or child.value is not None:
                return
            del parent.children[level]

    def matching(self, topic: str) -> list[_T]:
        """The values of all filters that a topic matches (MQTT 5, section 4.7)."""
        exact = self._exact.get(topic)
        found = [] if exact is None else [exact]
        if self._root.children:
            self._walk(topic, found)
        return found

    def _walk(self, topic: str, found: list[_T]) -> None:
        nodes = [self._root]
        wild = not topic.startswith("$")  # a leading wildcard does not match those [MQTT-4.7.2-1]
        for level in topic.split("/"):
            below: list[_Node[_T]] = []
            for node in nodes:
                children = node.children
                child = children.get(level)
                if child is not None:
                    below.append(child)
                if wild:
                    child = children.get("+")
                    if child is not None:
                        below.append(child)
                    _add(children.get("#"), found)
            if not below:
                return
            nodes, wild = below, True
        for node in nodes:
            _add(node, found)
            _add(node.children.get("#"), found)  # the parent level, too (4.7.1.2)


def has_wildcard(name: str) -> bool:
    """Whether a filter can match more than one topic."""
    return "+" in name or "#" in name


def _add(node: _Node[_T] | None, found: list[_T]) -> None:
    if node is not None and node.value is not None:
        found.append(node.value)


def _count(root: _Node[_T]) -> int:
    nodes, number = [root], 0
    while nodes:
        node = nodes.pop()
        number += node.value is not None
        nodes.extend(node.children.values())
    return number
