"""Which topics are queues, in each namespace: the same names once more below a first level."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")


class Namespaces:
    """The namespaces that the broker serves, and the queues of each.

    Args:
        names: first levels, each without a slash; what is below none of them is served, too.
        queue_prefix: of the topics that are queues.

    Attributes:
        prefixes: in front of the topics of each namespace; the first is empty.
    """

    def __init__(self, names: Iterable[str], queue_prefix: str) -> None:
        self._plain = queue_prefix
        dollar = "$" if queue_prefix.startswith("$") else ""  # stays in front: ``$staging/queue/``
        self._queues = {f"{dollar}{one}/{queue_prefix.removeprefix(dollar)}": one for one in names}
        self.prefixes: tuple[str, ...] = ("", *(f"{one}/" for one in self._queues.values()))
        self._below = tuple(self._queues)

    def queue(self, topic: str) -> str | None:
        """The queue that a topic names; None: it is not a queue.

        Below a namespace the whole topic is its name, so that no two queues share one.
        """
        if topic.startswith(self._plain):
            name = topic[len(self._plain) :]
            if self._below and name.startswith((self._plain, *self._below)):
                return topic  # ``$queue/$staging/queue/x`` is not the queue ``x`` of a namespace
            return name or None
        if self._below and topic.startswith(self._below) and topic not in self._below:
            return topic
        return None

    def prefix_of(self, queue: str) -> str:
        """In front of the topics of the namespace that a queue belongs to."""
        below = self._prefix_below(queue)
        return f"{self._queues[below]}/" if below else ""

    def split(self, queues: Mapping[str, T]) -> dict[str, dict[str, T]]:
        """What is known of queues, by prefix, with the names that they have in their namespaces."""
        found: dict[str, dict[str, T]] = {prefix: {} for prefix in self.prefixes}
        for queue, value in queues.items():
            below = self._prefix_below(queue)
            found[self.prefix_of(queue)][queue[len(below) :]] = value
        return found

    def _prefix_below(self, queue: str) -> str:
        return next((one for one in self._below if queue.startswith(one)), "")
