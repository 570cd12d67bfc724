"""The numbered checks: which normative statements each of them tests."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.broker.wire import Wire

_NUMBERS = itertools.count(1)


class Site:
    """A broker under test, as one check sees it: names that no other check uses."""

    def __init__(self, kind: str, port: int, ws_port: int, level: int) -> None:
        self.kind, self.port, self.ws_port, self.level = kind, port, ws_port, level
        self.name = f"n{next(_NUMBERS)}"
        self._wires: list[Wire] = []

    def id(self, name: str = "c") -> str:
        return f"{self.name}-{name}"

    def topic(self, name: str = "t") -> str:
        return f"{self.name}/{name}"

    async def open(self, level: int | None = None) -> Wire:
        wire = await Wire.open(self.port, level or self.level)
        self._wires.append(wire)
        return wire

    async def login(self, name: str = "c", level: int | None = None, **options: Any) -> Wire:
        wire = await Wire.login(self.port, self.id(name), level or self.level, **options)
        self._wires.append(wire)
        return wire

    async def persistent(self, name: str = "c", *, clean: bool = False, **options: Any) -> Wire:
        """A session that outlives its connection."""
        if self.level == 5:
            options["more"] = ((17, 300), *options.get("more", ()))
        return await self.login(name, clean=clean, **options)

    def close(self) -> None:
        for wire in self._wires:
            wire.close()


Check = Callable[[Site], Awaitable[None]]


@dataclass(frozen=True)
class Entry:
    """One check.

    Attributes:
        v5, v3: statements of MQTT 5 and 3.1.1, without ``MQTT-``.
        mosquitto: why mosquitto 2.0.11 does not pass it; empty: it does.
        users: it needs a broker with users and access rules.
    """

    check: Check
    v5: tuple[str, ...]
    v3: tuple[str, ...]
    mosquitto: str = ""
    users: bool = False

    @property
    def name(self) -> str:
        return self.check.__name__

    @property
    def levels(self) -> tuple[int, ...]:
        return (4,) * bool(self.v3) + (5,) * bool(self.v5)


ENTRIES: list[Entry] = []


def states(
    v5: str = "", v3: str = "", *, mosquitto: str = "", users: bool = False
) -> Callable[[Check], Check]:
    """A check and the statements that it tests, separated by spaces."""

    def register(check: Check) -> Check:
        ENTRIES.append(Entry(check, tuple(v5.split()), tuple(v3.split()), mosquitto, users))
        return check

    return register
