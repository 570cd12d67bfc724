"""Fields and results of every type, checked where a job is made and where its result is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypedDict, assert_type

import attrs
from pydantic import BaseModel

from routeq_mqtt import Job, JobHandle, dispatch, job, register_type


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


class Movie(TypedDict):
    name: str


@dataclass
class Line:
    price: Decimal
    files: list[Path] = field(default_factory=list)


@attrs.define
class Address:
    ip: IPv4Address


class Invoice(BaseModel):
    number: int
    lines: list[str] = []


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


def cents(money: Money) -> int:
    return money.cents


register_type(Money, cents, Money, name="money of a program")


class Order(Job, result_ttl=60):
    lines: list[Line]
    colour: Colour = Colour.RED
    at: Point | None = None
    movie: Movie | None = None
    address: Address | Invoice | None = None
    size: Literal["small", "large"] = "small"
    paid: Mapping[str, Money] = field(default_factory=dict)
    noted: Annotated[Path, "where it is"] = Path()

    async def handle(self) -> dict[Colour, Line]:
        return {self.colour: self.lines[0]}


@job(result_ttl=60)
def first(invoices: list[Invoice], near: tuple[Point, ...] = ()) -> Invoice | None:
    return invoices[0] if invoices else None


async def right() -> None:
    order = Order(lines=[Line(Decimal(1))], at=Point(1, 2), movie={"name": "M"}, size="large")
    handle = await dispatch(order)
    assert_type(handle, JobHandle[dict[Colour, Line]])
    assert_type((await handle.result())[Colour.RED].price, Decimal)
    Order(lines=[], address=Address(IPv4Address("127.0.0.1")), paid={"Ada": Money(3)})
    Order(lines=[], address=Invoice(number=1))
    assert_type(await (await first.dispatch([Invoice(number=1)])).result(), Invoice | None)


async def wrong() -> None:
    Order(lines=[1])  # mypy: list-item; pyright: reportArgumentType
    Order(lines=[], colour="red")  # mypy: arg-type; pyright: reportArgumentType
    Order(lines=[], at=(1, 2))  # mypy: arg-type; pyright: reportArgumentType
    Order(lines=[], movie={"title": "M"})  # mypy: arg-type; pyright: reportArgumentType
    Order(lines=[], address="127.0.0.1")  # mypy: arg-type; pyright: reportArgumentType
    Order(lines=[], size="huge")  # mypy: arg-type; pyright: reportArgumentType
    Order(lines=[], noted="/tmp")  # mypy: arg-type; pyright: reportArgumentType
    await first.dispatch([{"number": 1}])  # mypy: list-item; pyright: reportArgumentType
    (await (await first.dispatch([])).result()).number  # mypy: union-attr; pyright: reportOptionalMemberAccess
    (await (await dispatch(Order(lines=[]))).result())["red"]  # mypy: index; pyright: reportArgumentType
    register_type(Money, len, Money, name="m")  # mypy: arg-type; pyright: reportArgumentType
    register_type(Money, cents, Money, name=3)  # mypy: arg-type; pyright: reportArgumentType
