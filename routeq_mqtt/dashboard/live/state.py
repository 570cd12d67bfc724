"""What is true now, under flat keys: who follows it is sent only what has changed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from routeq_mqtt.clock import Clock

Facts = dict[str, str]
"""Key and JSON: ``queue/mail``, ``worker/<id>``, ``scheduler``, …"""


class State:
    """Collects facts when somebody asks, at most once in a while for all of them together.

    Args:
        collect: what is known now.
        clock: tells how old it is.
        fresh_for: seconds for which a collection serves everybody.
    """

    def __init__(
        self,
        collect: Callable[[], Awaitable[Mapping[str, Any]]],
        clock: Clock,
        *,
        fresh_for: float = 0.9,
    ) -> None:
        self._collect = collect
        self._clock = clock
        self._fresh_for = fresh_for
        self._facts: Facts = {}
        self._until = -1.0
        self._lock = asyncio.Lock()

    async def now(self) -> Facts:
        """The facts, as fresh as they must be. Never changed later: keep them to compare."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                known = self._facts
                found = {key: _json(fact) for key, fact in (await self._collect()).items()}
                # Those that are the same stay the same object: comparing them is quick.
                self._facts = {
                    key: known[key] if known.get(key) == fact else fact
                    for key, fact in found.items()
                }
                self._until = self._clock.monotonic() + self._fresh_for
            return self._facts


def difference(before: Facts, now: Facts) -> tuple[Facts, list[str]]:
    """What is new or has changed, and the keys that are gone."""
    changed = {key: fact for key, fact in now.items() if before.get(key) is not fact}
    return changed, [key for key in before if key not in now]


def as_message(at: float, changed: Facts, gone: list[str]) -> str:
    """One JSON text for the page; `at`: UTC epoch seconds."""
    facts = ",".join(f"{json.dumps(key)}:{fact}" for key, fact in changed.items())
    return f'{{"at":{at:.3f},"set":{{{facts}}},"gone":{json.dumps(gone)}}}'


_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def _json(fact: object) -> str:
    return _encode(fact)
