"""What `transport/base.py` promises: one suite for every implementation over every broker."""

from __future__ import annotations

import asyncio

import pytest

from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.transport.base import (
    NO_MATCHING_SUBSCRIBERS,
    SUCCESS,
    Connection,
    ConnectOptions,
    Transport,
    Will,
)
from tests.cluster.recorder import TIMEOUT
from tests.transport.subjects import Inbox, Subject

LONG = 3_600


def ignore(message: object) -> None:
    """What this connection receives is of no interest."""


async def connect(
    transport: Transport, client_id: str, inbox: Inbox | None = None, **options: object
) -> Connection:
    chosen = ConnectOptions(client_id, **options)  # type: ignore[arg-type]
    connection = await transport.connect(chosen, inbox or ignore)
    if inbox is not None:
        inbox.connection = connection
    return connection


async def resident(transport: Transport, client_id: str, inbox: Inbox | None = None) -> Connection:
    """A connection with a session that outlives it."""
    return await connect(transport, client_id, inbox, persistent=True, session_expiry=LONG)


async def ended(connection: Connection) -> BaseException | None:
    async with asyncio.timeout(TIMEOUT):
        return await asyncio.shield(connection.lost)


# -- connecting ------------------------------------------------------------------------------------


async def test_where_no_broker_runs_connect_says_so(subject: Subject) -> None:
    await subject.stop()
    with pytest.raises(ConnectionFailed, match="cannot reach"):
        await connect(subject.transport(), "a")
    await subject.start()


async def test_a_broker_that_never_answers_is_given_up(subject: Subject) -> None:
    with pytest.raises(ConnectionFailed, match=r"did not answer within 0\.1 s"):
        await connect(subject.silent(), "a")


async def test_the_protocol_that_was_agreed_is_known(subject: Subject) -> None:
    one = await connect(subject.transport(), "a")
    assert one.mqtt5 == subject.mqtt5
    await one.close()


async def test_a_session_is_present_only_where_it_was_kept(subject: Subject) -> None:
    transport = subject.transport()
    for client_id, options in (
        ("kept", {"persistent": True, "session_expiry": LONG}),
        ("clean", {"persistent": False}),
    ):
        first = await connect(transport, client_id, **options)
        assert not first.session_present
        await first.close()
        second = await connect(transport, client_id, **options)
        assert second.session_present == (client_id == "kept")
        await second.close()


async def test_a_clean_start_forgets_a_session(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    kept = await resident(transport, "a")
    await kept.subscribe("t")
    await kept.close()
    sender = await connect(transport, "b")
    await sender.publish("t", b"forgotten")
    clean = await connect(transport, "a", inbox)
    assert not clean.session_present
    await clean.subscribe("t")
    await sender.publish("t", b"new")
    assert await inbox.has(b"new") == []


# -- publishing ------------------------------------------------------------------------------------


async def test_the_reason_says_whether_anybody_is_subscribed(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox(acknowledge=True)
    one = await connect(transport, "a", inbox)
    assert await one.subscribe("t/+") == [1]
    nobody = NO_MATCHING_SUBSCRIBERS if one.mqtt5 else SUCCESS
    assert await one.publish("t/x", b"") == SUCCESS
    assert await one.publish("nobody", b"") == nobody
    await one.unsubscribe("t/+")
    assert await one.publish("t/x", b"") == nobody


async def test_qos_0_is_sent_and_forgotten(subject: Subject) -> None:
    inbox = Inbox()
    one = await connect(subject.transport(), "a", inbox)
    await one.subscribe("t")
    sent = one.publish("t", b"quick", qos=0)
    assert sent.done()
    assert sent.result() == SUCCESS
    [message] = await inbox.until(1)
    assert (message.payload, message.qos) == (b"quick", 0)
    one.acknowledge(message)  # nothing to acknowledge, and no error


async def test_messages_keep_their_order(subject: Subject) -> None:
    inbox = Inbox(acknowledge=True)
    one = await connect(subject.transport(), "a", inbox)
    await one.subscribe("t")
    payloads = [str(number).encode() for number in range(2_000)]
    sent = [one.publish("t", payload) for payload in payloads]
    assert set(await asyncio.gather(*sent)) == {SUCCESS}
    await inbox.until(len(payloads))
    assert inbox.payloads == payloads


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
async def test_payloads_of_any_size_arrive_whole(subject: Subject, size: int) -> None:
    inbox = Inbox(acknowledge=True)
    one = await connect(subject.transport(), "a", inbox)
    await one.subscribe("t")
    payload = bytes(number % 251 for number in range(size))
    await one.publish("t", payload)
    [message] = await inbox.until(1)
    assert message.payload == payload
    assert message.topic == "t"
    assert not message.retain
    assert not message.dup


async def test_a_window_bounds_what_is_in_flight(subject: Subject) -> None:
    one = await connect(subject.transport(), "a")
    await one.room()  # nothing is in flight: no waiting
    sent = []
    room: asyncio.Task[None] | None = None
    while room is None:
        sent.append(one.publish("t", b"x"))  # no turn of the loop: no PUBACK comes in
        if len(sent) % 1_024 == 0:
            waiting = asyncio.ensure_future(one.room())
            waiting_now = asyncio.all_tasks() - {asyncio.current_task()}
            assert waiting in waiting_now
            room = waiting if len(sent) >= 4_096 else None
            if room is None:
                waiting.cancel()
    async with asyncio.timeout(TIMEOUT):
        await room
    assert sum(future.done() for future in sent) >= len(sent) // 2
    await asyncio.gather(*sent)
    await one.room()


async def test_many_are_published_in_order_past_the_window(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox(acknowledge=True)
    reader = await connect(transport, "reader", inbox)
    await reader.subscribe("heard")
    one = await connect(transport, "a")
    sent = [b"%d" % number for number in range(5_000)]
    assert await one.publish_many([]) == []
    reasons = await one.publish_many([("heard", payload) for payload in sent])
    assert reasons == [SUCCESS] * len(sent)
    await one.publish("heard", b"end")
    assert await inbox.has(b"end") == sent


async def test_more_than_a_socket_takes_at_once_arrives_whole(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox(acknowledge=True)
    reader = await connect(transport, "reader", inbox)
    await reader.subscribe("heard")
    reader.pause()  # what is written piles up in the sockets and in the broker
    one = await connect(transport, "a")
    sent = [bytes([number]) * 200_000 for number in range(subject.flood)]
    many = asyncio.ensure_future(one.publish_many([("heard", payload) for payload in sent]))
    await one.publish("elsewhere", b"behind them")
    reader.resume()
    async with asyncio.timeout(TIMEOUT):
        assert await many == [SUCCESS] * len(sent)
    await one.publish("heard", b"end")
    assert await inbox.has(b"end") == sent


async def test_each_of_many_has_its_own_reason(subject: Subject) -> None:
    transport = subject.transport()
    reader = await connect(transport, "reader", Inbox(acknowledge=True))
    await reader.subscribe("heard")
    one = await connect(transport, "a")
    unheard = NO_MATCHING_SUBSCRIBERS if one.mqtt5 else SUCCESS
    topics = ["heard", "unheard", "heard"]
    assert await one.publish_many([(topic, b"x") for topic in topics]) == [
        SUCCESS, unheard, SUCCESS,
    ]  # fmt: skip


async def test_many_on_a_lost_connection_have_no_reason(subject: Subject) -> None:
    one = await connect(subject.transport(), "a")
    many = asyncio.ensure_future(one.publish_many([("t", b"x")] * 10_000))
    await asyncio.sleep(0)
    await one.close()
    async with asyncio.timeout(TIMEOUT):
        assert None in await many
    assert await one.publish_many([("t", b"x")] * 2) == [None, None]


# -- subscriptions ---------------------------------------------------------------------------------


async def test_many_filters_are_granted_at_once(subject: Subject) -> None:
    inbox = Inbox(acknowledge=True)
    one = await connect(subject.transport(), "a", inbox)
    assert await one.subscribe("a/+/c", "d/#", "e", qos=1) == [1, 1, 1]
    for topic in ("a/b/c", "a/b", "a/b/c/d", "d", "d/e/f", "e", "f"):
        await one.publish(topic, topic.encode())
    await one.publish("e", b"end")
    assert await inbox.has(b"end") == [b"a/b/c", b"d", b"d/e/f", b"e"]


async def test_wildcards_do_not_match_topics_with_a_dollar(subject: Subject) -> None:
    inbox = Inbox(acknowledge=True)
    one = await connect(subject.transport(), "a", inbox)
    await one.subscribe("+/x")
    await one.publish("$queue/x", b"hidden")
    await one.publish("plain/x", b"end")
    assert await inbox.has(b"end") == []


async def test_a_plain_subscription_to_queues_gets_what_is_published_there(
    mosquitto_like: Subject,
) -> None:
    inbox = Inbox(acknowledge=True)
    one = await connect(mosquitto_like.transport(), "a", inbox)
    await one.subscribe("$queue/#")
    await one.publish("$queue/x", b"job")
    [message] = await inbox.until(1)
    assert message.topic == "$queue/x"


# -- receiving and acknowledging -------------------------------------------------------------------


async def numbered(sender: Connection, numbers: range) -> list[bytes]:
    payloads = [str(number).encode() for number in numbers]
    await asyncio.gather(*(sender.publish("t", payload) for payload in payloads))
    return payloads


async def test_what_is_not_acknowledged_comes_again_in_order_with_dup(subject: Subject) -> None:
    transport, first, second = subject.transport(), Inbox(), Inbox()
    sender = await connect(transport, "sender")
    fragile = subject.fragile()
    one = await resident(fragile.transport, "a", first)
    await one.subscribe("t")
    payloads = await numbered(sender, range(20))
    received = list(await first.until(20))
    for message in reversed(received[::2]):  # late, and in any order
        one.acknowledge(message)
    marker = await one.publish("nobody", b"")  # the broker has read what was before it
    assert marker in {SUCCESS, NO_MATCHING_SUBSCRIBERS}
    fragile.cut()
    await ended(one)
    more = await numbered(sender, range(20, 25))
    again = await resident(fragile.transport, "a", second)
    assert again.session_present
    await second.until(15)
    assert second.payloads == payloads[1::2] + more
    assert [message.dup for message in second.messages] == [True] * 10 + [False] * 5


async def test_what_was_acknowledged_never_comes_again(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    sender = await connect(transport, "sender")
    one = await resident(transport, "a", Inbox(acknowledge=True))
    one_inbox = Inbox()
    await one.subscribe("t")
    await one.close()
    one = await resident(transport, "a", one_inbox)
    await numbered(sender, range(200))
    for message in await one_inbox.until(200):
        one.acknowledge(message)
    # A round trip behind them: mosquitto reads one packet of a connection in a turn, and forgets
    # what it has not read when the next connection takes the session over.
    await one.publish("nobody", b"")
    await one.close()
    again = await resident(transport, "a", inbox)
    await numbered(sender, range(900, 901))
    assert await inbox.has(b"900") == []
    assert again.session_present


async def test_messages_that_come_with_the_connack_are_handed_over(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    one = await resident(transport, "a")
    await one.subscribe("t")
    await one.close()
    sender = await connect(transport, "sender")
    payloads = await numbered(sender, range(300))
    again = await transport.connect(
        ConnectOptions("a", persistent=True, session_expiry=LONG), inbox
    )
    await inbox.until(300)
    assert inbox.payloads == payloads
    for message in inbox.messages:
        again.acknowledge(message)
    await again.close()


async def test_an_acknowledgement_on_a_lost_connection_does_nothing(subject: Subject) -> None:
    inbox, second = Inbox(), Inbox()
    fragile = subject.fragile()
    one = await resident(fragile.transport, "a", inbox)
    await one.subscribe("t")
    await one.publish("t", b"mine")
    [message] = await inbox.until(1)
    fragile.cut()
    await ended(one)
    again = await resident(fragile.transport, "a", second)
    one.acknowledge(message)
    [redelivered] = await second.until(1)
    assert redelivered.payload == b"mine"
    again.acknowledge(redelivered)
    await again.close()


async def test_a_paused_connection_loses_nothing(subject: Subject) -> None:
    inbox = Inbox(acknowledge=True)
    transport = subject.transport()
    one = await connect(transport, "a", inbox)
    sender = await connect(transport, "sender")
    await one.subscribe("t")
    one.pause()
    one.pause()
    payloads = await numbered(sender, range(500))
    assert inbox.messages == []
    one.resume()
    one.resume()
    await inbox.until(500)
    assert inbox.payloads == payloads


async def test_pausing_inside_the_callback_stops_at_that_message(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    sender = await connect(transport, "sender")
    seen: list[int] = []

    class Stopping(Inbox):
        def __call__(self, message: object) -> None:
            super().__call__(message)  # type: ignore[arg-type]
            if len(self.messages) % 10 == 0:
                assert self.connection is not None
                self.connection.pause()
                seen.append(len(self.messages))
                asyncio.get_running_loop().call_soon(self.connection.resume)

    inbox = Stopping(acknowledge=True)
    one = await connect(transport, "a", inbox)
    await one.subscribe("t")
    payloads = await numbered(sender, range(100))
    await inbox.until(100)
    assert inbox.payloads == payloads
    assert seen == list(range(10, 101, 10))
    await one.close()


# -- retained messages and Last Wills --------------------------------------------------------------


async def test_a_retained_message_greets_each_new_subscription(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox(acknowledge=True)
    one = await connect(transport, "a", inbox)
    await one.publish("state", b"old", retain=True)
    await one.publish("state", b"kept", retain=True)
    await one.subscribe("state")
    await one.publish("state", b"live", retain=True)
    await inbox.until(2)
    assert [(m.payload, m.retain) for m in inbox.messages] == [(b"kept", True), (b"live", False)]
    await one.publish("state", b"", retain=True)
    late = Inbox()
    two = await connect(transport, "b", late)
    await two.subscribe("state")
    await two.publish("state", b"end")
    assert await late.has(b"end") == []


WILL = Will("wills", b"gone")


async def test_a_last_will_is_sent_when_the_connection_breaks(subject: Subject) -> None:
    inbox = Inbox(acknowledge=True)
    watcher = await connect(subject.transport(), "watcher", inbox)
    await watcher.subscribe("wills")
    fragile = subject.fragile()
    one = await connect(fragile.transport, "a", will=WILL)
    fragile.cut()
    [message] = await inbox.until(1)
    assert message.payload == b"gone"
    cause = await ended(one)
    assert isinstance(cause, ConnectionLost)
    late = Inbox()
    two = await connect(subject.transport(), "late", late)
    await two.subscribe("wills")
    [kept] = await late.until(1)
    assert kept.retain


async def test_a_polite_close_sends_no_last_will(subject: Subject) -> None:
    inbox = Inbox(acknowledge=True)
    transport = subject.transport()
    watcher = await connect(transport, "watcher", inbox)
    await watcher.subscribe("wills")
    one = await connect(transport, "a", will=WILL)
    await one.close()
    assert await ended(one) is None
    await watcher.publish("wills", b"end")
    assert await inbox.has(b"end") == []


# -- the end ---------------------------------------------------------------------------------------


async def test_whoever_waits_is_told_when_the_connection_is_lost(subject: Subject) -> None:
    fragile = subject.fragile()
    one = await connect(fragile.transport, "a")
    fragile.cut()
    sent = one.publish("t", b"into the void")
    with pytest.raises(ConnectionLost):
        await sent
    cause = await ended(one)
    assert isinstance(cause, ConnectionLost)
    with pytest.raises(ConnectionLost):
        await one.publish("t", b"too late")
    with pytest.raises(ConnectionLost):
        await one.subscribe("t")
    await one.room()
    one.pause()
    one.resume()
    await one.close()


async def test_a_close_answers_who_waits(subject: Subject) -> None:
    one = await connect(subject.transport(), "a")
    await one.close()
    assert await ended(one) is None
    with pytest.raises(ConnectionLost):
        await one.publish("t", b"")
    await one.close()


async def test_a_paused_connection_closes_politely(subject: Subject) -> None:
    transport, inbox, second = subject.transport(), Inbox(), Inbox()
    sender = await connect(transport, "sender")
    one = await resident(transport, "a", inbox)
    await one.subscribe("t")
    one.pause()
    payloads = await numbered(sender, range(50))
    await one.close()
    assert await ended(one) is None
    assert inbox.messages == []
    await resident(transport, "a", second)
    await second.until(50)
    assert second.payloads == payloads


async def test_a_publish_before_a_close_is_sent(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox(acknowledge=True)
    watcher = await connect(transport, "watcher", inbox)
    await watcher.subscribe("t")
    one = await connect(transport, "a")
    one.publish("t", b"last words")
    await one.close()
    await inbox.has(b"last words")


async def test_end_session_leaves_nothing_behind(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    sender = await connect(transport, "sender")
    one = await resident(transport, "a", inbox)
    await one.subscribe("t")
    await sender.publish("t", b"held")
    await inbox.until(1)
    await one.close(end_session=True)
    late = Inbox()
    again = await resident(transport, "a", late)
    assert not again.session_present
    await again.subscribe("t")
    await sender.publish("t", b"new")
    assert await late.has(b"new") == []


async def test_the_later_connection_takes_a_client_identifier_over(subject: Subject) -> None:
    transport, first, second = subject.transport(), Inbox(), Inbox()
    one = await resident(transport, "a", first)
    await one.subscribe("t")
    sender = await connect(transport, "sender")
    await sender.publish("t", b"held")
    await first.until(1)
    two = await resident(transport, "a", second)
    assert two.session_present
    assert isinstance(await ended(one), ConnectionLost)
    [message] = await second.until(1)
    assert (message.payload, message.dup) == (b"held", True)


async def test_retained_messages_come_with_a_new_subscription_alone(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    sender = await connect(transport, "sender")
    await sender.publish("t", b"retained", retain=True)
    one = await resident(transport, "a", inbox)
    for mark in (b"1", b"2"):
        await one.subscribe("t", retained_if_new=True)
        await sender.publish("t", mark)
    known = [] if one.mqtt5 else [b"retained"]  # MQTT 3.1.1 cannot say so
    assert await inbox.has(b"2") == [b"retained", b"1", *known]


async def test_a_broker_that_ends_is_noticed_and_its_sessions_are_kept(subject: Subject) -> None:
    transport, inbox = subject.transport(), Inbox()
    one = await resident(transport, "a", Inbox())
    await one.subscribe("t")
    sender = await connect(transport, "sender")
    await sender.publish("t", b"held")
    await subject.stop()
    assert isinstance(await ended(one), ConnectionLost)
    assert isinstance(await ended(sender), ConnectionLost)
    await subject.start()
    again = await resident(transport, "a", inbox)
    assert again.session_present
    sender = await connect(transport, "sender")
    await sender.publish("t", b"after")
    assert await inbox.has(b"after") == [b"held"]
