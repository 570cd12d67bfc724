"""How mosquitto behaves, well or badly: the broker in memory must do the same.

The facts are those that `docs/design.md` rests on. What differs between versions of mosquitto
(Receive Maximum, the length of queues) is tested on the broker in memory alone.
"""

from __future__ import annotations

import asyncio

import pytest

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.testing import BrokerOptions, MemoryBroker, MemoryTransport
from routeq_mqtt.transport.base import (
    NO_MATCHING_SUBSCRIBERS,
    SUCCESS,
    Connection,
    ConnectOptions,
    Will,
)
from tests.transport.subjects import Inbox, Subject
from tests.transport.test_seam import LONG, connect, ended, numbered, resident

SHARED = "$share/g/t"


def nobody(connection: Connection) -> int:
    return NO_MATCHING_SUBSCRIBERS if connection.mqtt5 else SUCCESS


async def test_a_group_on_a_dollar_topic_never_gets_anything(mosquitto_like: Subject) -> None:
    inbox = Inbox()
    one = await connect(mosquitto_like.transport(), "a", inbox)
    await one.subscribe("$share/g/$queue/x", "end")
    assert await one.publish("$queue/x", b"job") == nobody(one)
    await one.publish("end", b"end")
    assert await inbox.has(b"end") == []


async def test_a_restart_keeps_plain_subscriptions_and_forgets_shared_ones(
    mosquitto_like: Subject,
) -> None:
    transport = mosquitto_like.transport()
    one = await resident(transport, "a")
    await one.subscribe("plain", SHARED)
    await mosquitto_like.stop()
    await mosquitto_like.start()
    sender = await connect(transport, "sender")
    assert await sender.publish("plain", b"") == SUCCESS
    assert await sender.publish("t", b"") == nobody(sender)


async def test_a_group_without_members_drops_and_says_so(mosquitto_like: Subject) -> None:
    transport = mosquitto_like.transport()
    one = await resident(transport, "a")
    await one.subscribe(SHARED)
    sender = await connect(transport, "sender")
    assert await sender.publish("t", b"") == SUCCESS
    await one.unsubscribe(SHARED)
    assert await sender.publish("t", b"") == nobody(sender)


async def test_a_group_gives_in_strict_turns_also_to_members_that_are_offline(
    mosquitto_like: Subject,
) -> None:
    transport, online, offline = mosquitto_like.transport(), Inbox(), Inbox()
    one = await resident(transport, "a", online)
    two = await resident(transport, "b")
    await one.subscribe(SHARED)
    await two.subscribe(SHARED)
    await two.close()
    sender = await connect(transport, "sender")
    payloads = await numbered(sender, range(6))
    await online.until(3)
    again = await resident(transport, "b", offline)
    await offline.until(3)
    assert sorted(online.payloads + offline.payloads) == payloads
    assert again.session_present


async def test_a_session_that_ends_takes_its_messages_along(mosquitto_like: Subject) -> None:
    transport, first, second = mosquitto_like.transport(), Inbox(), Inbox(acknowledge=True)
    one = await resident(transport, "a", first)
    await one.subscribe(SHARED)
    sender = await connect(transport, "sender")
    await numbered(sender, range(3))
    await first.until(3)
    two = await resident(transport, "b", second)
    await two.subscribe(SHARED, "end")
    await one.close(end_session=True)
    await sender.publish("end", b"end")
    assert await second.has(b"end") == []


async def test_what_is_queued_is_delivered_after_an_unsubscribe_and_a_marker_comes_last(
    mosquitto_like: Subject,
) -> None:
    """Session adoption: the dead client's identifier brings all of its messages, exactly."""
    transport, dead, adopter = mosquitto_like.transport(), Inbox(), Inbox(acknowledge=True)
    fragile = mosquitto_like.fragile()
    one = await resident(fragile.transport, "a", dead)
    await one.subscribe(SHARED)
    sender = await connect(transport, "sender")
    held = await numbered(sender, range(50))
    await dead.until(50)
    fragile.cut()
    await ended(one)
    queued = await numbered(sender, range(50, 300))
    two = await resident(transport, "a", adopter)
    await two.unsubscribe(SHARED)
    await two.subscribe("own")
    await two.publish("own", b"marker")
    assert await adopter.has(b"marker") == held + queued
    assert [message.dup for message in adopter.messages[:-1]] == [True] * 50 + [False] * 250
    await two.close(end_session=True)
    three = await resident(transport, "a")
    assert not three.session_present


async def test_a_session_with_expiry_0_is_gone_with_its_connection(mosquitto_like: Subject) -> None:
    if not mosquitto_like.mqtt5:
        return  # MQTT 3.1.1 knows no expiry
    transport = mosquitto_like.transport()
    one = await resident(transport, "a")
    await one.subscribe("t")
    await one.close()
    sender = await connect(transport, "sender")
    await sender.publish("t", b"lost with the session")
    adopter = await connect(transport, "a", persistent=True, session_expiry=0)
    assert adopter.session_present
    await adopter.close()
    again = await resident(transport, "a")
    assert not again.session_present


async def test_a_takeover_sends_the_will_of_a_clean_session_alone(mosquitto_like: Subject) -> None:
    transport, inbox = mosquitto_like.transport(), Inbox(acknowledge=True)
    watcher = await connect(transport, "watcher", inbox)
    await watcher.subscribe("wills")
    clean = await connect(transport, "clean", will=Will("wills", b"clean"))
    kept = await connect(
        transport, "kept", persistent=True, session_expiry=LONG, will=Will("wills", b"kept")
    )
    await resident(transport, "kept")
    await ended(kept)
    await connect(transport, "clean")
    await ended(clean)
    await watcher.publish("wills", b"end")
    assert await inbox.has(b"end") == [b"clean"]


async def test_a_polite_stop_of_the_broker_leaves_the_wills(mosquitto_like: Subject) -> None:
    transport, inbox = mosquitto_like.transport(), Inbox()
    one = await connect(transport, "a", will=Will("wills", b"gone"))
    await mosquitto_like.stop()
    await ended(one)
    await mosquitto_like.start()
    watcher = await connect(transport, "watcher", inbox)
    await watcher.subscribe("wills")
    await watcher.publish("wills", b"end")
    assert await inbox.has(b"end") == [b"gone"]


async def test_overlapping_subscriptions_each_bring_a_copy_on_mqtt_5(
    mosquitto_like: Subject,
) -> None:
    inbox = Inbox(acknowledge=True)
    one = await connect(mosquitto_like.transport(), "a", inbox)
    await one.subscribe("t", "+", SHARED, "end/only")
    await one.publish("t", b"copy")
    await one.publish("end/only", b"end")
    assert await inbox.has(b"end") == [b"copy"] * (3 if one.mqtt5 else 1)


# -- the broker in memory alone --------------------------------------------------------------------


async def memory(**options: object) -> tuple[MemoryBroker, MemoryTransport]:
    broker = MemoryBroker(BrokerOptions(**options))  # type: ignore[arg-type]
    return broker, MemoryTransport(broker)


async def test_a_full_queue_drops_silently_with_success() -> None:
    broker, transport = await memory(max_queued=10)
    one = await resident(transport, "a")
    await one.subscribe("t")
    await one.close()
    sender = await connect(transport, "sender")
    sent = [sender.publish("t", str(number).encode()) for number in range(15)]
    assert set(await asyncio.gather(*sent)) == {SUCCESS}
    assert len(broker.holds("a")) == 10


async def test_receive_maximum_is_forgotten_at_the_first_acknowledgement() -> None:
    for exact, most in ((False, 50), (True, 5)):
        _, transport = await memory(exact_receive_maximum=exact)
        inbox = Inbox()
        options = ConnectOptions("a", persistent=True, session_expiry=LONG, receive_maximum=5)
        one = await transport.connect(options, inbox)
        await one.subscribe("t")
        sender = await connect(transport, "sender")
        await numbered(sender, range(50))
        await one.publish("nobody", b"")
        assert len(inbox.messages) == 5
        one.acknowledge(inbox.messages[0])
        await one.publish("nobody", b"")
        await one.publish("nobody", b"")
        assert len(inbox.messages) - 1 == min(most, 49)


async def test_a_kill_loses_what_came_since_the_last_save() -> None:
    broker, transport = await memory()
    one = await resident(transport, "a")
    await one.subscribe("t")
    await one.close()
    sender = await connect(transport, "sender")
    await sender.publish("t", b"saved")
    await sender.publish("state", b"old", retain=True)
    broker.save()
    await sender.publish("t", b"lost")
    await sender.publish("state", b"new", retain=True)
    broker.kill()
    await ended(sender)
    broker.start()
    assert broker.holds("a") == [b"saved"]
    assert broker.retained["state"] == b"old"


async def test_a_broker_that_lies_says_success() -> None:
    _, transport = await memory(reports_no_subscribers=False)
    one = await connect(transport, "a")
    assert await one.publish("nobody", b"") == SUCCESS


async def test_access_control_refuses() -> None:
    def allow(client_id: str, action: str, topic: str) -> bool:
        return topic != "secret"

    for mqtt5, refused in ((True, 0x87), (False, 0x80)):
        _, transport = await memory(mqtt5=mqtt5, allow=allow)
        one = await connect(transport, "a")
        assert await one.subscribe("open", "secret") == [1, refused]
        assert await one.publish("secret", b"") == (0x87 if mqtt5 else 0)


@pytest.mark.parametrize(("mqtt5", "reason"), [(True, 0x87), (False, None)])
async def test_who_is_refused_may_lose_the_connection(mqtt5: bool, reason: int | None) -> None:
    """mosquitto 2.0.11 with an acl_file, MQTT 5: PUBACK 0x87, then the end (tests/secure)."""
    _, transport = await memory(mqtt5=mqtt5, allow=lambda *asked: False, ends_refused=True)
    one = await connect(transport, "a")
    assert await one.publish_many([("secret", b""), ("next", b"")]) == [reason, None]
    assert isinstance(await one.lost, ConnectionLost)


async def test_a_session_expires_by_the_clock() -> None:
    class Hand(SystemClock):
        at = 0.0

        def monotonic(self) -> float:
            return self.at

    clock = Hand()
    broker = MemoryBroker(clock=clock)
    transport = MemoryTransport(broker)
    for at, present in ((LONG - 1.0, True), (2.0 * LONG, False)):
        one = await resident(transport, "a")
        await one.subscribe("t")
        await one.close()
        clock.at = clock.at + at
        again = await resident(transport, "a")
        assert again.session_present == present
        await again.close()
