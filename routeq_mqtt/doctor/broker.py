"""Checks of the broker: what it can do, and what it drops."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from routeq_mqtt.doctor.patient import Probe, options
from routeq_mqtt.doctor.report import Check
from routeq_mqtt.errors import ConnectionFailed, ConnectionLost
from routeq_mqtt.topics import DOCTOR
from routeq_mqtt.transport.aio import AioConnection
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS
from routeq_mqtt.worker.consume.session import SESSION_EXPIRY

if TYPE_CHECKING:
    from routeq_mqtt.doctor.patient import Patient

_REFUSED = 0x80
_MANY = 1_100
"""Messages queued for an absent session: more than a stock mosquitto keeps (1000)."""

_LIMIT, _SENT = 5, 30


def connection(patient: Patient) -> Check:
    """Whether there is a broker, and what it speaks."""
    link = patient.bus.sender.link.connection
    protocol = "MQTT 5" if link is not None and link.mqtt5 else "MQTT 3.1.1"
    return Check("connection", "ok", f"{patient.settings.address()} speaks {protocol}")


def encryption(patient: Patient) -> Check:
    """Whether others on the way can read along."""
    address = patient.settings.address()
    if address.tls:
        shown = " and ours" if address.cert_file else ""
        return Check("encryption", "ok", f"TLS; the broker's certificate{shown} is verified")
    if is_loopback(address.host):
        return Check("encryption", "ok", "none; the broker is on this machine")
    return Check(
        "encryption",
        "warning",
        "none: who is on the way reads passwords and jobs",
        "give the broker a certificate and write mqtts:// (docs/security.md)",
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def delivery(patient: Patient) -> Check:
    """How jobs for running workers go."""
    around = patient.bus.sender.surroundings
    if around.shares_queue:
        return Check("delivery", "ok", f"the embedded broker shares {_queues(patient)} itself")
    if around.deals:
        return Check("delivery", "ok", "the scheduler deals each job to one worker")
    if around.reports_no_subscribers:
        return Check(
            "delivery", "ok", "express lane: the broker reports when there is no subscriber"
        )
    return Check(
        "delivery",
        "warning",
        "the broker does not report that there is no subscriber: all jobs go through the scheduler",
        "a broker that speaks MQTT 5 (mosquitto 2) is faster; is this user allowed to read "
        f"{patient.topics.probe('#')}?",
    )


def limits(patient: Patient) -> list[Check]:
    """What the embedded broker bounds."""
    found = patient.bus.sender.surroundings.limits
    if not found:
        return []
    named = " ".join(f"{name}={value:.10g}" for name, value in sorted(found.items()))
    return [Check("limits", "ok", f"{named} (docs/broker.md)")]


async def shared(patient: Patient) -> Check:
    """A message through a shared subscription; where none comes, whether jobs can be dealt."""
    name, around = "shared subscriptions", patient.bus.sender.surroundings
    if around.deals:
        return Check(name, "ok", "not needed: the scheduler deals")
    if await _reaches_a_group(patient):
        return Check(name, "ok", "a group gets what is published")
    if not await _keeps_a_session(patient):
        return Check(
            name,
            "failed",
            "a message to a group did not arrive, and none was kept for a session whose client was "
            "away: this broker can neither share jobs nor be dealt them",
            "use another broker (docs/brokers.md): a job would be lost with its worker",
        )
    if around.scheduler_online:
        return Check(
            name,
            "failed",
            "a message to a group did not arrive, and the scheduler leaves the jobs to groups",
            "start it with ROUTEQ_SHARING=auto or scheduler: it deals (docs/brokers.md); or use a "
            "broker with $share/… (mosquitto 2, EMQX, HiveMQ, the embedded one)",
        )
    return Check(name, "ok", "a group gets nothing: the scheduler will deal (docs/brokers.md)")


async def _reaches_a_group(patient: Patient) -> bool:
    try:
        async with patient.client() as probe:
            topic = f"{probe.topic}/shared"
            codes = await probe.connection.subscribe(patient.topics.alone(probe.name, topic))
            await patient.publish(topic, b"doctor")
            return codes[0] < _REFUSED and bool(await probe.count(1))
    except ConnectionLost:  # ejabberd ends it at the subscription
        return False


async def _keeps_a_session(patient: Patient) -> bool:
    """Whether a message waits for a client that is away."""
    probe = Probe(patient.topics)
    first = await patient.transport.connect(options(probe, persistent=True), probe.take)
    try:
        await first.subscribe(probe.topic)
    finally:
        await first.close()
    await patient.publish(probe.topic, b"doctor")
    async with patient.client(probe, persistent=True):
        return bool(await probe.count(1))


async def way(patient: Patient) -> Check:
    """A message to a queue, and back as its workers get it."""
    around = patient.bus.sender.surroundings
    async with patient.client() as probe:
        queue = probe.name
        codes = await probe.connection.subscribe(*around.filters(queue, probe.name))
        if min(codes) >= _REFUSED:
            return Check(
                "a job's way",
                "ok",
                "not walked: this user may not read queues, as it should be for all but workers",
            )
        delivery = around.delivery_topic(queue)
        await patient.publish(patient.topics.deal(queue) if around.deals else delivery, DOCTOR)
        if await probe.count(1):
            how = "as the scheduler deals" if around.deals else "through a shared subscription"
            return Check("a job's way", "ok", f"there and back {how}")
    if around.deals:
        return Check(
            "a job's way",
            "warning",
            f"a message to {patient.topics.deal(queue)!r} did not come back",
            f"workers read {patient.topics.deal('#')}: allow it (deploy/acl/services.acl)",
        )
    return Check(
        "a job's way",
        "warning",
        f"a message through the group {patient.topics.group!r} did not come back: this user may "
        "join groups and read nothing, so it would swallow jobs",
        "give it a listener without groups (mosquitto.secure.conf), or read access to queues",
    )


async def queue_path(patient: Patient) -> Check:
    """Whether somebody reads what any producer may write to."""
    around = patient.bus.sender.surroundings
    topic = around.intake("routeq-doctor")
    name = f"{topic.removesuffix('/routeq-doctor')} path"
    if around.shares_queue:
        return Check(name, "ok", f"the broker itself keeps what is published to {_queues(patient)}")
    [reason] = await patient.publish(topic, DOCTOR)
    link = patient.bus.sender.link.connection
    if reason == NO_MATCHING_SUBSCRIBERS:
        return Check(
            name,
            "failed",
            f"{_queues(patient)} has no reader: jobs for queues without a running worker are "
            "refused",
            "start a scheduler: routeq-mqtt scheduler",
        )
    if reason >= _REFUSED:
        return Check(
            name,
            "warning",
            f"this user may not publish to {topic!r} (reason 0x{reason:02x})",
            f"allow it to write {around.intake('+')} if it is to send jobs",
        )
    if link is None or not link.mqtt5:
        return Check(name, "ok", "sent; MQTT 3.1.1 does not say who reads it")
    return Check(name, "ok", f"the scheduler reads {_queues(patient)}")


def _queues(patient: Patient) -> str:
    """The topics that any producer may write to, as they are called on this bus."""
    return patient.bus.sender.surroundings.intake("#")


async def receive_maximum(patient: Patient) -> Check:
    """Whether the broker keeps to the number of messages that a worker asks for."""
    name = "receive maximum"
    async with patient.client(limit=_LIMIT) as probe:
        if not probe.connection.mqtt5:
            return Check(name, "ok", "MQTT 3.1.1 has none: workers stop reading instead")
        probe.acknowledges = False
        await probe.connection.subscribe(probe.topic)
        await patient.publish(probe.topic, b"doctor", _SENT)
        await probe.count(_LIMIT)
        probe.connection.acknowledge(probe.messages[0])
        await probe.connection.publish(f"{probe.topic}/nobody", b"")  # behind what that brings
        held = len(probe.messages) - 1
    if held <= _LIMIT:
        return Check(name, "ok", f"kept: {held} unacknowledged messages at most")
    return Check(
        name,
        "ok",
        f"ignored ({held} unacknowledged, {_LIMIT} allowed), as by mosquitto before 2.0.12: "
        "workers stop reading instead",
    )


async def session_expiry(patient: Patient) -> Check:
    """Whether the broker keeps sessions as long as workers ask it to."""
    name = "session expiry"
    async with patient.client(persistent=True) as probe:
        allowed = getattr(probe.connection, "session_expiry", None)
        if not isinstance(probe.connection, AioConnection) or not probe.connection.mqtt5:
            return Check(name, "ok", "MQTT 3.1.1 has none: the broker's own setting counts")
    if allowed is None or allowed >= SESSION_EXPIRY:
        return Check(name, "ok", "sessions are kept as long as workers ask")
    return Check(
        name,
        "warning",
        f"the broker ends sessions {allowed} s after their connection, with the jobs in them",
        f"let it keep them for {SESSION_EXPIRY} s",
    )


async def persistence(patient: Patient) -> list[Check]:
    """Whether an absent session keeps its messages, and how many: all in one try."""
    probe = Probe(patient.topics)
    first = await patient.transport.connect(options(probe, persistent=True), probe.take)
    try:
        await first.subscribe(probe.topic)
    finally:
        await first.close()
    try:
        await patient.publish(probe.topic, b"", _MANY)
    finally:
        async with patient.client(probe, persistent=True):
            present = probe.connection.session_present
            received = await probe.count(_MANY)
    return [_kept(present), _limit(received)]


def _kept(present: bool) -> Check:
    if present:
        return Check("persistence", "ok", "a session and its subscriptions outlive a connection")
    return Check(
        "persistence",
        "failed",
        "the broker had forgotten a session as soon as its connection ended",
        "jobs of a worker that dies would be lost: allow persistent sessions",
    )


def _limit(received: int) -> Check:
    if received >= _MANY:
        return Check("message limit", "ok", f"the broker kept all of {_MANY} queued messages")
    return Check(
        "message limit",
        "failed",
        f"the broker kept {received} of {_MANY} messages for an absent session, "
        "and acknowledged all",
        "mosquitto.conf: max_queued_messages 0 and max_inflight_messages 0",
    )


async def strangers(patient: Patient) -> Check:
    """Whether the broker lets in who gives no name."""
    address = patient.settings.address()
    named = address.username is not None or address.cert_file is not None
    if not named:
        if is_loopback(address.host):
            return Check("access control", "ok", "none; the broker is on this machine")
        return Check("access control", "warning", "none: anybody may send and read jobs", _USERS)
    stranger = patient.transport.without_credentials()
    probe = Probe(patient.topics)
    try:
        unknown = await stranger.connect(options(probe, persistent=False), probe.take)
    except ConnectionFailed:
        return Check("access control", "ok", "who gives no user name or certificate is refused")
    await unknown.close()
    return Check("access control", "warning", "who gives no user name gets in, too", _USERS)


_USERS = "allow_anonymous false, password_file and acl_file, as in mosquitto.secure.conf"
