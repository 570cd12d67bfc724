"""Jobs of every type that travels."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import attrs
from pydantic import BaseModel, Field

from routeq_mqtt import Job, job, register_type

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    ONE = 1


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    where: Path


class Movie(TypedDict):
    name: str
    shown: date
    colour: NotRequired[Colour]


@dataclass(frozen=True)
class Line:
    price: Decimal
    files: list[Path] = field(default_factory=list)
    made: int = field(init=False, default=3)


@dataclass
class Tree(Generic[T]):
    value: T
    left: Tree[T] | None = None
    right: Tree[T] | None = None


@attrs.define
class Address:
    street: str
    ip: IPv4Address
    _note: str = "x"


class Invoice(BaseModel):
    number: int = Field(gt=0)
    lines: list[str] = []
    path: Path = Path("/")
    colour: Colour = Colour.RED
    due: datetime | None = None
    raw: bytes = b""


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


register_type(Money, lambda money: money.cents, Money, name="money")

Anything = (
    Colour
    | Level
    | Point
    | Line
    | Address
    | Invoice
    | Money
    | Path
    | IPv6Address
    | str
    | int
    | None
)

FIELDS: dict[str, Any] = {
    "colour": Colour, "level": Level, "mode": Mode, "point": Point, "movie": Movie, "line": Line,
    "tree": Tree[Colour], "address": Address, "invoice": Invoice, "money": Money, "path": Path,
    "pure": PurePosixPath, "ipv4": IPv4Address, "ipv6": IPv6Address, "net": IPv4Network,
    "interface": IPv6Interface, "either": Anything, "literal": Literal["a", 3, Colour.RED],
    "maybe": Line | None, "lines": list[Line], "levels": set[Level], "frozen": frozenset[Path],
    "pairs": tuple[Path, int], "many": tuple[Colour, ...], "by_colour": dict[Colour, list[Money]],
    "nested": dict[str, list[tuple[Point, Invoice | None]]], "noted": Annotated[Path, "a note"],
    "user": UserId, "sequence": Sequence[Path], "mapping": Mapping[str, IPv4Address],
    "text": str, "number": int, "real": float, "yes": bool, "raw": bytes, "moment": datetime,
    "day": date, "hour": time, "span": timedelta, "key": UUID, "exact": Decimal,
    "numbers": list[int], "words": dict[str, str], "either_plain": int | str | list[int],
}  # fmt: skip


class KeepsTypes(Job, result_ttl=60, max_tries=1):
    value: Anything
    lines: list[Line] = []
    tree: Tree[Colour] | None = None

    async def handle(self) -> tuple[Anything, list[Line], Tree[Colour] | None]:
        return self.value, self.lines, self.tree


class KeepsInAProcess(KeepsTypes, executor="process"):
    pass


class KeepsAndFails(Job, max_tries=1):
    value: Anything

    async def handle(self) -> None:
        raise ValueError("on purpose")


@job(result_ttl=60)
def typed_call(value: Anything, *, by_colour: dict[Colour, Money]) -> dict[Colour, Money]:
    assert value is None or isinstance(value, Invoice | Path)
    return by_colour
