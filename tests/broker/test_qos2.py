"""QoS 2 is taken and given exactly once, whatever is restarted in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.conftest import Start
from tests.broker.wire import DISCONNECT, PUBACK, PUBCOMP, PUBREC, PUBREL, Wire, ack, publish
from tests.broker.wire import subscribe as wire_subscribe


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_message_is_taken_once(
    start: Start, tmp_path: Path, level: int, restarted: bool
) -> None:
    """Sent again before its PUBREL, on a new connection, also of a new broker."""
    options = {"clean": False, "more": ((17, 1_000),) if level == 5 else ()}
    broker = await start(db=tmp_path / "broker.db")
    reader = await Wire.login(broker.port, "reader", clean=False)
    await reader.subscribe(("t", 1))
    wire = await Wire.login(broker.port, "c", level, **options)
    wire.send(publish("t", b"once", level=level, qos=2, mid=7))
    assert (await wire.get(PUBREC)).mid == 7
    wire.close()
    if restarted:
        reader.close()
        await broker.stop()
        broker = await start(db=tmp_path / "broker.db")
        reader = await Wire.login(broker.port, "reader", clean=False)
    wire = await Wire.login(broker.port, "c", level, **options)
    wire.send(publish("t", b"once", level=level, qos=2, mid=7, dup=True))
    assert (await wire.get(PUBREC)).mid == 7
    wire.send(ack(PUBREL, 7))
    assert (await wire.get(PUBCOMP)).code == 0
    wire.send(ack(PUBREL, 7))
    assert (await wire.get(PUBCOMP)).code == (0x92 if level == 5 else 0)
    wire.send(publish("t", b"another", level=level, qos=2, mid=7))
    await wire.get(PUBREC)
    assert [got.payload for got in await reader.barrier()] == [b"once", b"another"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_message_is_given_once(start: Start, tmp_path: Path, restarted: bool) -> None:
    broker = await start(db=tmp_path / "broker.db")
    reader = await Wire.login(broker.port, "reader", clean=False)
    assert await reader.subscribe(("t", 2)) == [2]
    wire = await Wire.login(broker.port, "c")
    for mid in (1, 2):
        wire.send(publish("t", b"%d" % mid, qos=2, mid=mid))
        await wire.get(PUBREC)
    first, second = await reader.get(3), await reader.get(3)
    assert (first.qos, first.dup) == (2, False)
    reader.send(ack(PUBREC, first.mid))
    assert (await reader.get(PUBREL)).mid == first.mid
    reader.close()
    if restarted:
        await broker.stop()
        broker = await start(db=tmp_path / "broker.db")
    reader = await Wire.login(broker.port, "reader", clean=False)
    assert (await reader.get(PUBREL)).mid == first.mid
    again = await reader.get(3)
    assert (again.payload, again.mid, again.dup) == (second.payload, second.mid, True)
    reader.send(ack(PUBCOMP, first.mid), ack(PUBREC, again.mid))
    await reader.get(PUBREL)
    reader.send(ack(PUBCOMP, again.mid), DISCONNECT)
    await reader.ended()
    reader = await Wire.login(broker.port, "reader", clean=False)
    assert await reader.barrier() == []


async def test_a_pubrec_that_refuses_ends_the_message(start: Start) -> None:
    broker = await start()
    reader = await Wire.login(broker.port, "reader", 5)
    await reader.subscribe(("t", 2))
    reader.send(publish("t", b"x", level=5, qos=2))
    got = [await reader.next(), await reader.next()]
    [message] = [one for one in got if one is not None and one.kind == 3]
    reader.send(ack(PUBREC, message.mid, 0x80))
    assert await reader.barrier() == []
    reader.send(ack(PUBREC, message.mid))
    assert (await reader.get(PUBREL)).code == 0x92


async def test_an_acknowledgement_of_another_qos_ends_the_connection(start: Start) -> None:
    broker = await start()
    reader = await Wire.login(broker.port, "reader", 5)
    await reader.subscribe(("t", 2))
    writer = await Wire.login(broker.port, "writer")
    writer.send(publish("t", b"x", qos=2))
    got = await reader.get(3)
    reader.send(ack(PUBACK, got.mid))
    assert await reader.ended() == 0x82


async def test_retained_messages_keep_their_qos(start: Start) -> None:
    broker = await start()
    wire = await Wire.login(broker.port, "c")
    for qos in (0, 1, 2):
        wire.send(publish(f"r/{qos}", b"x", qos=qos, mid=qos + 1, retain=True))
    await wire.barrier()
    for granted in (0, 1, 2):
        reader = await Wire.login(broker.port, f"reader-{granted}")
        await reader.subscribe(("r/+", granted))
        got = await reader.barrier()
        assert {one.topic: one.qos for one in got} == {f"r/{q}": min(q, granted) for q in range(3)}
        assert all(one.retain for one in got)


async def test_shared_subscriptions_at_every_qos(start: Start) -> None:
    broker = await start()
    for qos in (0, 1, 2):
        member = await Wire.login(broker.port, f"m{qos}")
        assert await member.subscribe((f"$share/g/t/{qos}", qos)) == [qos]
        member.send(publish(f"t/{qos}", b"x", qos=2, mid=9))
        got = [one for one in await member.barrier() if one.kind == 3]
        assert [one.qos for one in got] == [qos]


async def test_members_that_are_offline_get_what_comes_meanwhile(start: Start) -> None:
    """As mosquitto keeps it: of a group that is away, each message waits for one of them."""
    broker = await start()
    for name in ("a", "b"):
        member = await Wire.login(broker.port, name, clean=False)
        await member.subscribe(("$share/g/t", 1))
        member.send(DISCONNECT)
        await member.ended()
    wire = await Wire.login(broker.port, "c", 5)
    for number in range(6):
        assert (await wire.publish("t", b"%d" % number)).code == 0
    came = []
    for name in ("a", "b"):
        member = await Wire.login(broker.port, name, clean=False)
        got = await member.barrier()
        assert got
        came += [one.payload for one in got]
    assert sorted(came) == [b"%d" % number for number in range(6)]


async def test_keys_of_messages_that_came_back_are_forgotten(start: Start) -> None:
    """What a lost worker held has another key afterwards; the old one is not known for ever."""

    class Policy:
        def taken_in(self, payload: bytes) -> tuple[bytes, str | None]:
            return payload, payload.decode()

        def answer(self, question: bytes, keys: object) -> None:
            return None

        def returned(self, payload: bytes, client_id: str, retained: object) -> bytes:
            return payload + b"+"

    broker = await start(policy=Policy(), grace=0.05)
    wire = await Wire.login(broker.port, "c")
    worker = await Wire.login(broker.port, "w", clean=False)
    await worker.subscribe(("$share/g/$queue/q", 1))
    await wire.publish("$queue/q", b"a")
    await worker.get(3)
    worker.close()
    second = await Wire.login(broker.port, "w2", clean=False)
    await second.subscribe(("$share/g/$queue/q", 1))
    got = await second.get(3)
    assert got.payload == b"a+"
    second.send(ack(PUBACK, got.mid))
    await second.barrier()
    group = broker._handler._router.queues._queues["q"]["g"]  # type: ignore[union-attr]
    assert group._keys == {}
    assert group.held == 0
    await wire.publish("$queue/q", b"a")  # no copy of anything
    assert (await second.get(3)).payload == b"a"


async def test_a_suback_comes_before_what_the_subscription_brings(
    start: Start, tmp_path: Path
) -> None:
    """Also while it waits for the disk, and others publish to the queue meanwhile."""
    broker = await start(db=tmp_path / "broker.db")
    writer = await Wire.login(broker.port, "writer")
    for number in range(20):
        reader = await Wire.login(broker.port, f"r{number}", clean=False)
        reader.send(wire_subscribe(("$share/g/$queue/q", 1), ("t", 0)))
        writer.send(publish("$queue/q", b"x", qos=1, mid=number + 1), publish("t", b"y"))
        assert (await reader.get(9)).codes == [1, 0]
        await writer.get(PUBACK)
        reader.close()
