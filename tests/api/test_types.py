"""Values of every type travel, arrive as they were, and fail at dispatch where they are wrong."""

from __future__ import annotations

import enum
import json
from base64 import b64encode
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from types import new_class
from typing import Any, Generic, NamedTuple, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeq_mqtt import (
    ConfigurationError,
    Job,
    JobFailed,
    PackingError,
    Settings,
    UnreadableMessage,
    dispatch,
    register_type,
)
from routeq_mqtt.jobs.codec import decoded_result, encoded_result, from_envelope, pack_job
from routeq_mqtt.testing import MemoryBus, fake
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.packing import pack, unpack
from tests.api import typed_jobs
from tests.api.typed_jobs import (
    FIELDS,
    Address,
    Colour,
    Invoice,
    KeepsAndFails,
    KeepsInAProcess,
    KeepsTypes,
    Level,
    Line,
    Mode,
    Money,
    Movie,
    Point,
    Tree,
    UserId,
    typed_call,
)


def job_of(name: str, annotation: Any) -> type[Job]:
    body = {
        "__annotations__": {"value": annotation},
        "__module__": typed_jobs.__name__,
        "handle": lambda self: self.value,
    }
    body["handle"].__annotations__ = {"return": annotation}
    return new_class(f"Holds_{name}", (Job,), {}, lambda names: names.update(body))


HOLDERS = {name: job_of(name, annotation) for name, annotation in FIELDS.items()}


def travel(job: Job) -> Any:
    return from_envelope(Envelope.decode(pack_job(job, now=1.0)[2]))


paths = st.text("abc/.", min_size=1).map(Path)
cents = st.integers(0, 10**6).map(Money)
# A nan is not equal to itself, and msgpack keeps what it is.
decimals = st.decimals(allow_nan=False)
lines = st.builds(Line, decimals, st.lists(paths, max_size=2))
colours = st.sampled_from(Colour)
points = st.builds(Point, st.integers(), paths)
addresses = st.builds(Address, st.text(), st.ip_addresses(v=4), st.text())
invoices = st.builds(
    Invoice,
    number=st.integers(1, 2**70),
    lines=st.lists(st.text(), max_size=2),
    path=paths,
    colour=colours,
    due=st.none() | st.datetimes() | st.datetimes(timezones=st.just(UTC)),
    raw=st.binary(),
)
trees = st.recursive(
    st.builds(Tree, colours),
    lambda inner: st.builds(Tree, colours, st.none() | inner, st.none() | inner),
    max_leaves=4,
)
anything = st.one_of(
    st.none(), st.text(), st.integers(), paths, colours, st.sampled_from(Level), points, lines,
    addresses, invoices, cents, st.ip_addresses(v=6),
)  # fmt: skip

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "colour": colours, "level": st.sampled_from(Level), "mode": st.sampled_from(Mode),
    "point": points, "line": lines, "tree": trees, "address": addresses, "invoice": invoices,
    "movie": st.fixed_dictionaries({"name": st.text(), "shown": st.dates()},
                                   optional={"colour": colours}),
    "money": cents, "path": paths, "either": anything, "maybe": st.none() | lines,
    "literal": st.sampled_from(["a", 3, Colour.RED]), "lines": st.lists(lines, max_size=3),
    "levels": st.sets(st.sampled_from(Level)), "frozen": st.frozensets(paths, max_size=3),
    "pairs": st.tuples(paths, st.integers()), "many": st.lists(colours).map(tuple),
    "by_colour": st.dictionaries(colours, st.lists(cents, max_size=2)),
    "nested": st.dictionaries(
        st.text(), st.lists(st.tuples(points, st.none() | invoices), max_size=2), max_size=2
    ),
    "noted": paths, "user": st.integers().map(UserId), "sequence": st.lists(paths),
    "mapping": st.dictionaries(st.text(), st.ip_addresses(v=4), max_size=3),
    "numbers": st.lists(st.integers()), "words": st.dictionaries(st.text(), st.text()),
    "either_plain": st.integers() | st.text() | st.lists(st.integers()),
    "real": st.floats(allow_nan=False), "moment": st.datetimes(), "exact": decimals,
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_there_and_back(name: str, data: st.DataObject) -> None:
    strategy = VALUES[name] if name in VALUES else st.from_type(FIELDS[name])
    value = data.draw(strategy)
    holder = HOLDERS[name](value=value)
    back = travel(holder)
    assert back.value == value
    assert type(back.value) is type(value)
    assert holder.unique_key() == travel(holder).unique_key()
    result = decoded_result(HOLDERS[name], unpack(pack(encoded_result(holder, value))))
    assert result == value
    assert type(result) is type(value)


WRONG: list[tuple[str, Any, str]] = [
    ("text", 5, r"Holds_text\.value: int 5 is not str"),
    ("number", "5", r"\.value: str '5' is not int"),
    ("real", "x", "is not float"),
    ("raw", "x", "is not bytes"),
    ("moment", date(2026, 1, 2), "date .* is not datetime"),
    ("colour", "red", r"\.value: str 'red' is not Colour"),
    ("path", "/a", "str '/a' is not Path"),
    ("ipv4", "127.0.0.1", "is not IPv4Address"),
    ("numbers", [1, 2, "x"], r"\.value\[2\]: str 'x' is not int"),
    ("numbers", (1,), r"tuple .* is not list\[int\]"),
    ("words", {"a": 1}, r"\.value\['a'\]: int 1 is not str"),
    ("words", {1: "a"}, r"\.value, a key: int 1 is not str"),
    ("pairs", (Path("/"),), "is not tuple"),
    ("line", {"price": 1}, "dict .* is not Line"),
    ("lines", [Line("1")], r"\.value\[0\]\.price: str '1' is not Decimal"),  # type: ignore[arg-type]
    ("tree", Tree(Colour.RED, Tree("red")), r"\.value\.left\.value: str 'red' is not Colour"),
    ("address", Address("x", "1.1.1.1"), r"\.value\.ip: str .* is not IPv4Address"),  # type: ignore[arg-type]
    ("movie", {"name": "x"}, r"\.value: Movie needs 'shown'"),
    ("movie", {"name": "x", "shown": date(2026, 1, 1), "more": 1}, "Movie has no part 'more'"),
    ("invoice", Invoice.model_construct(number=-1), r"\.value: number: Input should be greater"),
    ("literal", "b", "is not one of 'a', 3"),
    ("either", 1.5, r"float 1.5 is not Colour \| Level"),
    ("maybe", 3, "int 3 is not Line"),
    ("money", 3, "int 3 is not money"),
    ("nested", {"a": [(Point(1, Path()), 3)]}, r"\.value\['a'\]\[0\]\[1\]: int 3 is not Invoice"),
]


@pytest.mark.parametrize(("name", "value", "wrong"), WRONG)
def test_a_wrong_type_fails_at_dispatch(name: str, value: Any, wrong: str) -> None:
    with pytest.raises(PackingError, match=wrong):
        pack_job(HOLDERS[name](value=value), now=1.0)


async def test_nothing_is_sent_of_what_is_wrong() -> None:
    async with fake() as bus:
        with pytest.raises(PackingError, match=r"KeepsTypes\.value: float"):
            await dispatch(KeepsTypes(value=1.5))  # type: ignore[arg-type]
        with pytest.raises(PackingError, match=r"typed_call\.value"):
            await typed_call.dispatch(1.5, by_colour={})  # type: ignore[arg-type]
        bus.assert_nothing_dispatched()


def test_defaults_are_the_authors_own() -> None:
    class Sloppy(Job):
        to: str = None  # type: ignore[assignment]

        def handle(self) -> None: ...

    assert travel(Sloppy()).to is None


JSON: list[tuple[str, Any, Any]] = [
    ("line", {"price": "1.50", "files": ["/a"]}, Line(Decimal("1.50"), [Path("/a")])),
    ("tree", {"value": "red", "left": {"value": 1}}, Tree(Colour.RED, Tree(Colour.ONE))),
    ("point", {"x": 1, "where": "/"}, Point(1, Path("/"))),
    ("point", [1, "/"], Point(1, Path("/"))),
    ("movie", {"name": "x", "shown": "2026-01-02"}, Movie(name="x", shown=date(2026, 1, 2))),
    ("invoice", {"number": "3", "path": "/a"}, Invoice(number=3, path=Path("/a"))),
    ("levels", [1, 2], {Level.LOW, Level.HIGH}),
    ("by_colour", {"red": [5]}, {Colour.RED: [Money(5)]}),
    ("either", {"street": "x", "ip": "1.2.3.4"}, Address("x", IPv4Address("1.2.3.4"))),
    ("either", "plain", "plain"),
    ("many", ["red", 1], (Colour.RED, Colour.ONE)),
    ("literal", "red", Colour.RED),
]


@pytest.mark.parametrize(("name", "sent", "value"), JSON)
def test_what_other_languages_send_as_json(name: str, sent: Any, value: Any) -> None:
    holder = HOLDERS[name]
    text = json.dumps({"job": holder.__name__, "data": {"value": sent}})
    assert from_envelope(Envelope.decode(text.encode())).value == value  # type: ignore[attr-defined]


UNREADABLE: list[tuple[str, Any, str]] = [
    ("colour", "blue", "data.value='blue': 'blue' is not a valid Colour"),
    ("line", {}, "price"),
    ("line", 5, "Line is made of a map, not of int"),
    ("line", {"price": 1, "made": 5}, "Line has no part 'made'"),
    ("line", {"price": "x"}, "price"),
    ("tree", {"value": "red", "left": {"value": "blue"}}, "left: value: 'blue'"),
    ("invoice", {"number": 0}, "number: Input should be greater than 0"),
    ("either", {"$type": "os.system", "$value": "x"}, "no type of .* has this name"),
    ("either", {"$type": ["x"], "$value": "x"}, "has this name"),
    ("literal", "b", "it must be one of"),
    ("point", [1, "/", 3], "Point has 2 parts, not 3"),
    ("ipv4", "300.1.1.1", "300"),
]


@pytest.mark.parametrize(("name", "sent", "wrong"), UNREADABLE)
def test_what_does_not_fit_is_unreadable(name: str, sent: Any, wrong: str) -> None:
    envelope = Envelope(id="1", job=HOLDERS[name].__name__, data={"value": sent})
    with pytest.raises(UnreadableMessage, match=wrong):
        from_envelope(envelope)


async def test_through_results_retries_and_failed_records() -> None:
    tree = Tree(Colour.RED, Tree(Colour.PAIR))
    invoice = Invoice(number=7, path=Path("/x"))
    keys = Settings(
        encryption_keys=f"a:{b64encode(bytes(32)).decode()}", signing_keys="s:" + "x" * 40
    )
    async with MemoryBus("default", settings=keys) as bus:
        for kind in (KeepsTypes, KeepsInAProcess):
            sent = kind(value=invoice, lines=[Line(Decimal(3), [Path("/y")])], tree=tree)
            handle = await bus.dispatch(sent, confirm="stored", delay=0.01)
            assert await handle.result(20) == (sent.value, sent.lines, sent.tree)
        assert await bus.handle(handle.id, KeepsTypes).result(20) == (sent.value, sent.lines, tree)
        call = typed_call.job(Path("/a"), by_colour={Colour.RED: Money(4)})
        called = await bus.dispatch(call)
        assert await called.result(20) == {Colour.RED: Money(4)}
        assert await bus.handle(called.id, typed_call).result(20) == {Colour.RED: Money(4)}
        assert await bus.result(called.id, 20) == {"red": 4}
        failed = await bus.dispatch(KeepsAndFails(value=Address("x", IPv4Address("1.2.3.4"))))
        assert (await failed.wait(20)).state == "failed"
        with pytest.raises(JobFailed, match="on purpose"):
            await failed.result(20)
        [record] = await bus.requests.call("failed.list")
        assert record["id"] == failed.id


async def test_fakes_give_jobs_as_a_worker_would_see_them() -> None:
    async with fake(run=True) as bus:
        handle = await dispatch(KeepsTypes(value=Path("/a"), lines=[]))
        assert await handle.result() == (Path("/a"), [], None)
        bus.assert_dispatched(KeepsTypes, lambda job: job.value == Path("/a"))


@pytest.mark.parametrize(
    ("arguments", "options", "wrong"),
    [
        ((1, str, str), {}, "1 must be a class"),
        ((Line, 1, str), {}, "encode=1 must be a function"),
        ((Line, str, lambda: 1), {}, "decode=.* must be a function of one argument"),
        ((Line, str, str), {"name": ""}, "name='' must be a printable text"),
        ((Line, str, str), {"name": "money"}, "name='money' is taken by tests.api.typed_jobs"),
    ],
)
def test_types_are_registered_with_sense(arguments: Any, options: Any, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        register_type(*arguments, **options)


class Word(enum.StrEnum):
    YES = "yes"


class Pair(NamedTuple):
    one: int
    other: Path


def lists() -> defaultdict[str, list[int]]:
    return defaultdict(list, a=[1])


KINDS: dict[str, tuple[Any, Any]] = {
    "member of a StrEnum, beside str": (str | Word, Word.YES),
    "str beside a StrEnum": (Word | str, "yes"),
    "member of an IntEnum, beside int": (int | Level, next(iter(Level))),
    "named tuple beside tuple": (tuple[Any, ...] | Pair, Pair(1, Path("a"))),
    "list of classes beside list": (list[Any] | list[Point], [Point(1, Path("a"))]),
    "Counter": (Counter[str], Counter("aab")),
    "Counter without arguments": (Counter, Counter("aab")),
    "Counter beside dict": (dict[str, int] | Counter[str], Counter("aab")),
    "OrderedDict": (OrderedDict[str, Path], OrderedDict(b=Path("b"), a=Path("a"))),
    "defaultdict": (defaultdict[str, list[int]], lists()),
    "deque": (deque[Path], deque([Path("a")])),
    "deques inside": (dict[str, deque[int]], {"a": deque([1])}),
    "bytearray": (bytearray, bytearray(b"a")),
    "tuple with an open middle": (tuple[int, *tuple[str, ...]], (1, "a", "b")),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_value_arrives_as_what_it_was(name: str) -> None:
    annotation, value = KINDS[name]
    there = travel(job_of(f"kind {name}", annotation)(value=value)).value
    assert (type(there), there) == (type(value), value)
    if isinstance(value, defaultdict):
        assert there["new"] == []


def test_a_wrong_item_of_a_collection_is_named() -> None:
    for name, annotation, value, error in (
        ("deque", deque[int], deque([1, "2"]), r"value\[1\]: str '2' is not int"),
        ("list", deque[int], [1], r"list \[1\] is not deque\[int\]"),
        ("counter", Counter[str], Counter([1]), "a key: int 1 is not str"),
        ("dict", Counter[str], {"a": 1}, r"is not Counter\[str\]"),
    ):
        with pytest.raises(PackingError, match=error):
            travel(job_of(f"wrong {name}", annotation)(value=value))


ItemT = TypeVar("ItemT")
OtherT = TypeVar("OtherT")


class Holds(Job, Generic[ItemT], abstract=True, result_ttl=60):
    value: ItemT

    async def handle(self) -> ItemT:
        return self.value


class Both(Holds[list[ItemT]], Generic[ItemT, OtherT], abstract=True):
    more: dict[str, OtherT]


class HoldsPoint(Holds[Point]): ...


class HoldsBoth(Both[Path, Point]): ...


class Inherits(HoldsBoth): ...


def test_a_generic_job_has_the_types_that_its_class_says() -> None:
    point = Point(1, Path("a"))
    assert travel(HoldsPoint(value=point)).value == point
    assert decoded_result(HoldsPoint, encoded_result(HoldsPoint(value=point), point)) == point
    for kind in (HoldsBoth, Inherits):
        job = travel(kind(value=[Path("a")], more={"b": point}))
        assert (job.value, job.more) == ([Path("a")], {"b": point})
        with pytest.raises(PackingError, match=r"value\[0\]: int 3 is not Path"):
            travel(kind(value=[3], more={}))  # type: ignore[list-item]
    with pytest.raises(PackingError, match=r"HoldsPoint.value: str 'x' is not Point"):
        travel(HoldsPoint(value="x"))  # type: ignore[arg-type]
