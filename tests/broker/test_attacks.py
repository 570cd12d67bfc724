"""What a stranger can send: nobody else notices, and nothing grows for ever."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import resource
import socket
import time
from pathlib import Path

import pytest

from routeq_broker import Doorkeeper, Limits, Users, hashed_line
from routeq_broker.access.logins import Logins
from routeq_broker.errors import NotAdmitted
from routeq_broker.network import connection
from routeq_broker.routing.subscribers import Subscribers
from tests.broker.conftest import Start
from tests.broker.wire import DISCONNECT, PINGREQ, Wire, connect, packet, publish, subscribe


def keeper(folder: Path, **iterations: int) -> Doorkeeper:
    lines = [hashed_line(name, f"pw-{name}", iterations=n) for name, n in iterations.items()]
    (folder / "users").write_text("\n".join(lines))
    return Doorkeeper(Users.read(folder / "users"))


# -- filters ---------------------------------------------------------------------------------------


async def test_filters_of_clients_that_left_are_forgotten(start: Start) -> None:
    broker = await start()
    filters: Subscribers = broker._handler._router._subscribers  # type: ignore[union-attr]
    for number in range(50):
        wire = await Wire.login(broker.port, f"c{number}")
        await wire.subscribe(
            (f"own/{number}/+", 1), (f"own/{number}", 1), (f"$share/g/s/{number}/#", 1)
        )
        wire.send(DISCONNECT)
        await wire.ended()
    assert filters.filters == 0
    assert filters._filters._root.children == {}


def test_what_a_publish_costs_does_not_depend_on_other_filters() -> None:
    """Counted in levels of the tree that are looked at, not in seconds."""

    class Reader:
        connection = None
        persistent = True

        def may_read(self, topic: str) -> bool:
            return True

    from routeq_broker.protocol.subscribe import Options

    looked = 0

    class Counting(dict):  # type: ignore[type-arg]
        def get(self, *arguments: object) -> object:
            nonlocal looked
            looked += 1
            return super().get(*arguments)

    def steps(number: int) -> int:
        nonlocal looked
        subscribers = Subscribers()
        subscribers._filters._root.children = Counting()
        for one in range(number):
            subscribers.add(Reader(), f"+/{one}/x", Options(1))  # type: ignore[arg-type]
            subscribers.add(Reader(), f"c/{one}/+", Options(1))  # type: ignore[arg-type]
        looked = 0
        assert len(subscribers.of("c/1/x")) == 2
        return looked

    assert steps(10) == steps(1_000)


# -- before a login --------------------------------------------------------------------------------


async def test_wrong_connects_in_one_segment_are_not_carried_out(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await start(doorkeeper=keeper(tmp_path, anna=1_000))
    attacker = await Wire.open(broker.port)
    attacker.send(connect("x", user="anna", password="wrong") * 1_500)
    other = await Wire.login(broker.port, "other", user="anna", password="pw-anna")
    await other.barrier()
    assert (await attacker.get(2)).code == 4
    assert await attacker.next() is None
    assert sum("wrong name or password" in line for line in caplog.messages) == 1


async def test_passwords_are_hashed_beside_the_loop(start: Start, tmp_path: Path) -> None:
    """A login that costs seconds delays nobody who is in."""
    broker = await start(doorkeeper=keeper(tmp_path, anna=600_000, bert=1_000))
    inside = await Wire.open(broker.port)
    inside.send(connect("in", user="bert", password="pw-bert"))
    await inside.get(2)
    attackers = [await Wire.open(broker.port) for _ in range(2)]
    for attacker in attackers:
        attacker.send(connect("x", user="anna", password="wrong"))
    began = time.perf_counter()
    await inside.barrier()
    passed = time.perf_counter() - began
    cost = time.perf_counter()
    await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha512", b"x", b"y", 600_000)
    assert passed < (time.perf_counter() - cost) / 2
    for attacker in attackers:
        attacker.close()


async def test_who_waits_for_a_login_is_bounded(start: Start, tmp_path: Path) -> None:
    broker = await start(doorkeeper=keeper(tmp_path, anna=300_000))
    attackers = [await Wire.open(broker.port, 5) for _ in range(60)]
    for attacker in attackers:
        attacker.send(connect("x", level=5, user="anna", password="wrong"))
    turned_away = 0
    for attacker in attackers[-20:]:
        turned_away += (await attacker.get(2)).code == 0x9F
    assert turned_away == 20
    for attacker in attackers:
        attacker.close()


def test_all_names_cost_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper(tmp_path, anna=5_000, bert=101)
    users = Users.read(tmp_path / "users")
    real, counted = hashlib.pbkdf2_hmac, []

    def counting(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        counted.append(iterations)
        return real(name, password, salt, iterations)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counting)
    for name in ("anna", "bert", "nobody"):
        counted.clear()
        assert not users.check(name, b"wrong")
        assert sum(counted) == 5_000
    assert users.check("bert", b"pw-bert")
    assert users.remembers("bert", b"pw-bert")
    assert not users.remembers("bert", b"other")
    assert not users.remembers("anna", b"pw-bert")


@pytest.mark.parametrize("first", [b"\xc0", b"\x30", b"G", b"\x20", b"\x00"])
async def test_a_first_byte_that_is_no_connect_ends_it(start: Start, first: bytes) -> None:
    broker = await start()
    wire = await Wire.open(broker.port)
    wire.send(first)
    assert await wire.next() is None


@pytest.mark.parametrize(("name", "level"), [("MQIsdp", 3), ("MQTT", 3), ("MQIsdp", 4)])
async def test_mqtt_3_1_is_refused_with_its_code(start: Start, name: str, level: int) -> None:
    broker = await start()
    wire = await Wire.open(broker.port)
    wire.send(connect("c", name=name, level=level), PINGREQ)
    assert (await wire.get(2)).body == b"\x00\x01"
    assert await wire.next() is None


async def test_a_connect_is_not_large(start: Start) -> None:
    broker = await start()
    wire = await Wire.open(broker.port)
    wire.send(b"\x10\xff\xff\xff\x07")  # its length alone
    assert await wire.next() is None


async def test_a_connect_comes_whole_in_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no excuse."""
    monkeypatch.setattr(connection, "_CONNECT_WITHIN", 0.3)
    broker = await start()
    wire = await Wire.open(broker.port)
    for byte in connect("c" * 200):
        try:
            wire.send(bytes((byte,)))
            await asyncio.wait_for(wire.writer.drain(), 1)
        except ConnectionError:
            break
        if wire.reader.at_eof():
            break
        await asyncio.sleep(0.02)
    assert await wire.next() is None


@pytest.mark.parametrize("level", [4, 5])
async def test_what_follows_a_disconnect_is_not_carried_out(start: Start, level: int) -> None:
    broker = await start()
    reader = await Wire.login(broker.port, "reader")
    await reader.subscribe(("t", 1))
    wire = await Wire.login(broker.port, "c", level)
    wire.send(DISCONNECT, publish("t", b"late", level=level, qos=1))
    assert await wire.next() is None
    assert await reader.barrier() == []


async def test_what_follows_a_refused_connect_is_not_carried_out(
    start: Start, tmp_path: Path
) -> None:
    broker = await start(doorkeeper=keeper(tmp_path, anna=1_000))
    reader = await Wire.login(broker.port, "reader", user="anna", password="pw-anna")
    await reader.subscribe(("t", 1))
    wire = await Wire.open(broker.port)
    wire.send(connect("c"), publish("t", b"late", qos=1), subscribe(("t", 1)))
    assert (await wire.get(2)).code == 5
    assert await wire.next() is None
    assert await reader.barrier() == []


# -- amplification ---------------------------------------------------------------------------------


async def test_retained_messages_are_written_as_the_socket_drains(start: Start) -> None:
    broker = await start()
    filler = await Wire.login(broker.port, "filler")
    for number in range(40):
        await filler.publish(f"r/{number}", b"x" * 100_000, retain=True)
    greedy = await Wire.login(broker.port, "greedy")
    for mid in range(1, 201):
        greedy.send(subscribe(("r/#", 0), (f"r/{mid % 40}", 0), mid=mid))
    await greedy.writer.drain()
    await asyncio.sleep(0.5)  # it does not read
    session = broker._clients.sessions["greedy"]  # type: ignore[union-attr]
    transport = session.connection._transport  # type: ignore[union-attr]
    assert transport.get_write_buffer_size() < 3 << 20
    await filler.barrier()


async def test_a_filter_that_is_named_thousands_of_times_waits_a_bounded_number(
    start: Start,
) -> None:
    broker = await start()
    filler = await Wire.login(broker.port, "filler")
    await filler.publish("r", b"x" * 100, retain=True)
    greedy = await Wire.login(broker.port, "greedy")
    greedy.send(subscribe(*[("r", 0)] * 3_000, ("r", 1)))
    assert len((await greedy.get(9)).codes) == 3_001
    came = [got for got in await greedy.barrier() if got.kind == 3]
    assert 1 < len(came) < 1_010
    assert came[-1].qos == 1, "with the latest options"


async def test_filters_that_match_nothing_leave_others_their_turn(start: Start) -> None:
    """Each of these is compared with all that is retained, a part in each turn of the loop."""
    broker = await start()
    filler = await Wire.login(broker.port, "filler")
    for number in range(3_000):
        filler.send(publish(f"r/{number}/x", b"x", retain=True))
    await filler.barrier()
    greedy = await Wire.login(broker.port, "greedy")
    greedy.send(*(subscribe((f"+/+/{mid}", 0), mid=mid) for mid in range(1, 51)))
    greedy.send(subscribe(("r/+/x", 0), mid=51))
    await greedy.get(9)
    session = broker._clients.sessions["greedy"]  # type: ignore[union-attr]
    turns = 0
    while session.feed is not None:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 50 * 3_000 / 500
    assert len([got for got in await greedy.barrier() if got.kind == 3]) == 3_000


async def test_a_backlog_is_written_as_the_socket_drains(start: Start, tmp_path: Path) -> None:
    broker = await start(db=tmp_path / "broker.db")
    slow = await Wire.login(broker.port, "slow", clean=False)
    await slow.subscribe(("t", 1))
    filler = await Wire.login(broker.port, "filler")
    for _ in range(120):
        await filler.publish("t", b"x" * 100_000)
    slow.close()
    for _ in range(2):  # also what was sent before and is not acknowledged
        slow = await Wire.login(broker.port, "slow", clean=False)
        await asyncio.sleep(0.2)
        transport = broker._clients.sessions["slow"].connection._transport  # type: ignore[union-attr]
        assert transport.get_write_buffer_size() < 3 << 20
        if _ == 0:
            slow.close()
    for _ in range(120):
        got = await slow.get(3)
        slow.send(packet(0x40, got.mid.to_bytes(2, "big")))


async def test_a_client_that_never_reads_its_answers_is_given_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HIGH_WATER", 1 << 14)
    monkeypatch.setattr(connection, "_UNREAD_ANSWERS", 1 << 16)
    broker = await start()
    wire = await Wire.login(broker.port, "c")
    wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    transport = broker._clients.sessions["c"].connection._transport  # type: ignore[union-attr]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    other = await Wire.login(broker.port, "other")
    try:
        for _ in range(400):
            wire.send(PINGREQ * 2_000)
            await asyncio.wait_for(wire.writer.drain(), 10)
    except (ConnectionError, TimeoutError):
        pass
    else:
        pytest.fail("it was served for ever")
    await other.barrier()


# -- logs ------------------------------------------------------------------------------------------

FORGED = "a\n2026-11-30 INFO all is well\x1b[2J"


async def test_nothing_of_a_client_starts_a_line_of_the_log(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = await start(doorkeeper=keeper(tmp_path, anna=1_000))
    wire = await Wire.open(broker.port)
    wire.send(connect(FORGED, user=FORGED, password=FORGED))
    await wire.get(2)
    for _ in range(2):
        wire = await Wire.login(broker.port, FORGED, user="anna", password="pw-anna")
    wire.send(publish("$SYS/" + FORGED, b"x"), b"\x00\x00")
    await wire.ended()
    assert caplog.messages
    for message in caplog.messages:
        assert "\n" not in message
        assert "\x1b" not in message


# -- limits ----------------------------------------------------------------------------------------


async def test_connections_are_bounded(start: Start) -> None:
    broker = await start(limits=Limits(connections=3))
    inside = [await Wire.login(broker.port, f"c{number}") for number in range(3)]
    for level, code in ((4, 3), (5, 0x97)):
        late = await Wire.open(broker.port, level)
        late.send(connect("late", level=level))
        assert (await late.get(2)).code == code
        assert await late.next() is None
    inside[0].close()
    while broker._handler and len(broker._handler.connections) >= 3:
        await asyncio.sleep(0.01)
    await Wire.login(broker.port, "late")


async def test_the_rate_of_connects_is_bounded(start: Start) -> None:
    broker = await start(limits=Limits(connect_rate=1.0))
    for number in range(10):
        await Wire.login(broker.port, f"c{number}")
    late = await Wire.open(broker.port, 5)
    late.send(connect("late", level=5))
    assert (await late.get(2)).code == 0x9F


async def test_sessions_are_bounded(start: Start) -> None:
    broker = await start(limits=Limits(sessions=2))
    for number in range(2):
        wire = await Wire.login(broker.port, f"c{number}", clean=False)
        wire.close()
    late = await Wire.open(broker.port, 5)
    late.send(connect("late", level=5))
    assert (await late.get(2)).code == 0x97
    await Wire.login(broker.port, "c1", clean=False)


async def test_subscriptions_are_bounded(start: Start) -> None:
    broker = await start(limits=Limits(subscriptions=2))
    for level, code in ((4, 0x80), (5, 0x97)):
        wire = await Wire.login(broker.port, f"c{level}", level)
        assert await wire.subscribe(("a", 1), ("b", 1), ("c", 1)) == [1, 1, code]
        assert await wire.subscribe(("a", 2)) == [2]


async def test_retained_messages_are_bounded(start: Start) -> None:
    broker = await start(limits=Limits(retained_messages=2, retained_bytes=1_000))
    wire = await Wire.login(broker.port, "c", 5)
    codes = [(await wire.publish(f"r/{n}", b"x", retain=True)).code for n in range(3)]
    assert codes == [0x10, 0x10, 0x97]
    assert (await wire.publish("r/0", b"x" * 2_000, retain=True)).code == 0x97
    assert (await wire.publish("r/0", b"", retain=True)).code == 0x10
    assert (await wire.publish("r/2", b"x", retain=True)).code == 0x10
    old = await Wire.login(broker.port, "old")
    await old.publish("r/9", b"x", retain=True)  # acknowledged, and dropped
    assert await old.subscribe(("r/9", 1)) == [1]
    assert await old.barrier() == []


@pytest.mark.parametrize("limits", [Limits(queued_messages=5), Limits(queued_bytes=4_000)])
async def test_what_waits_for_a_session_is_bounded(
    start: Start, limits: Limits, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await start(limits=limits, guaranteed=("must/+",))
    away = await Wire.login(broker.port, "away", clean=False)
    await away.subscribe(("t", 1), ("must/x", 1), ("$share/g/$queue/q", 1))
    away.send(DISCONNECT)
    await away.ended()
    wire = await Wire.login(broker.port, "c", 5)
    codes = [(await wire.publish("t", b"x" * 300)).code for _ in range(8)]
    assert codes == [0] * 5 + [0x97] * 3
    assert any("dropped" in line for line in caplog.messages)
    assert [(await wire.publish("$queue/q", b"x" * 300)).code for _ in range(20)] == [0] * 20
    old = await Wire.login(broker.port, "old")
    await old.publish("t", b"x" * 300)  # acknowledged and dropped, as everywhere
    old.send(publish("must/x", b"x" * 300, qos=1))
    assert await old.next() is None
    assert broker._reports.counters()["publish/messages/dropped"] == 5
    again = await Wire.login(broker.port, "away", clean=False)
    got = await again.barrier()
    assert [one.topic for one in got if one.topic == "t"] == ["t"] * 5


async def test_a_session_expires(start: Start, tmp_path: Path) -> None:
    broker = await start(limits=Limits(session_expiry=1), db=tmp_path / "broker.db")
    wire = await Wire.login(broker.port, "c", 5, more=((17, 1_000),))
    assert wire.connack.props[17] == [1]
    await wire.subscribe(("t", 1))
    wire.send(DISCONNECT)
    await wire.ended()
    async with asyncio.timeout(10):
        while broker._clients.sessions:  # type: ignore[union-attr]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("level", [4, 5])
async def test_a_packet_that_is_too_large_ends_the_connection(start: Start, level: int) -> None:
    broker = await start(limits=Limits(packet_size=1_000))
    wire = await Wire.login(broker.port, "c", level)
    if level == 5:
        assert wire.connack.props[39] == [1_000]
    fits = publish("t", b"", level=level)
    await wire.publish("t", b"x" * (1_000 - len(fits) - 3))
    wire.send(publish("t", b"x" * 1_000, level=level))
    assert await wire.ended() == (0x95 if level == 5 else None)


@pytest.mark.parametrize("value", [{"sessions": 0}, {"inflight": 65_536}, {"queued_bytes": -1}])
def test_a_limit_that_makes_no_sense_is_named(value: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(value))):
        Limits(**value)


async def test_guessing_gets_slower() -> None:
    def wrong() -> None:
        raise NotAdmitted("wrong", 0x86)

    logins = Logins(delay=0.01)
    loop, pauses = asyncio.get_running_loop(), []
    for _ in range(5):
        began = loop.time()
        with pytest.raises(NotAdmitted):
            await logins.check("somewhere", wrong)
        pauses.append(loop.time() - began)
    assert pauses[4] > 0.16
    assert logins._pause(1_000) == 3.0
    await logins.check("somewhere", lambda: None)
    assert logins._known("somewhere").failures == 0
    logins.close()


async def test_the_limit_of_open_files_is_a_limit_of_connections(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (102, 1_024))
    broker = await start()
    inside = [await Wire.login(broker.port, f"c{number}") for number in range(2)]
    late = await Wire.open(broker.port, 5)
    late.send(connect("late", level=5))
    assert (await late.get(2)).code == 0x97
    assert any("the limit is reached: connections=2" in line for line in caplog.messages)
    for wire in inside:
        await wire.barrier()
