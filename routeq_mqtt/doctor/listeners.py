"""Other ways into the same broker: a forgotten listener may admit anonymous clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.doctor.broker import is_loopback
from routeq_mqtt.doctor.patient import Probe, options
from routeq_mqtt.doctor.report import Check
from routeq_mqtt.errors import ConnectionFailed
from routeq_mqtt.transport.aio import AioTransport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from routeq_mqtt.doctor.patient import Patient
    from routeq_mqtt.transport.address import BrokerAddress

_PLAIN, _WEBSOCKET = (1883,), (9001, 8080, 8083)
"""Ports where brokers usually listen without TLS."""

_WITHIN = 2.0
"""Seconds for each try: a firewall may silently drop it."""

_ELSEWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses that belong to no host (RFC 5737, RFC 3849); nothing is sent there."""


async def listeners(patient: Patient) -> Check:
    """Whether a stranger reads or writes on this bus, at another address or port of its broker.

    Seen from here: a firewall may stop others, and ports that are not usual are not tried.
    """
    address = patient.settings.address()
    places = [*_places(address, own_addresses() if is_loopback(address.host) else [address.host])]
    found = await open_places(patient, places)
    if not found:
        tried = ", ".join(dict.fromkeys(str(place.port) for place in places))
        where = "no other address of this machine" if is_loopback(address.host) else "none"
        return Check("other listeners", "ok", f"{where} lets strangers in; tried ports {tried}")
    return Check(
        "other listeners",
        "warning",
        f"who gives no user name sends or reads messages of this bus at {', '.join(found)}",
        "bind it (listener PORT 127.0.0.1; on websockets socket_domain ipv4, too), close it, or "
        "give it users and rules (mosquitto.secure.conf)",
    )


def _places(address: BrokerAddress, hosts: Iterable[str]) -> Iterator[BrokerAddress]:
    """Where else the broker may listen: without TLS, and our own port."""
    plain = replace(address, tls=False, websocket_path=None, ca_file=None)
    for host in hosts:
        if host != address.host:
            yield replace(address, host=host)
        for port in _PLAIN:
            yield replace(plain, host=host, port=port)
        for port in _WEBSOCKET:
            yield replace(plain, host=host, port=port, websocket_path="/mqtt")


def own_addresses() -> list[str]:
    """Addresses by which others may reach this machine; those of its ways to the outside."""
    found = []
    for family, target in zip((socket.AF_INET, socket.AF_INET6), _ELSEWHERE, strict=True):
        # Connecting a datagram socket chooses the address, and sends nothing.
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((target, 9))
            found.append(str(asking.getsockname()[0]))
    return [address for address in found if not is_loopback(address)]


async def open_places(patient: Patient, places: Iterable[BrokerAddress]) -> list[str]:
    """Those of the places where a stranger sends or reads messages of this bus."""
    here = str(patient.settings.address())
    others = [place for place in dict.fromkeys(places) if str(place) != here]
    found = await asyncio.gather(*(_is_open(patient, place) for place in others))
    return [str(place) for place, is_open in zip(others, found, strict=True) if is_open]


async def _is_open(patient: Patient, place: BrokerAddress) -> bool:
    """Whether a message passes between a stranger there and us, either way: it is one broker."""
    stranger = AioTransport(place, connect_timeout=_WITHIN).without_credentials()
    theirs = Probe(patient.topics)
    try:
        unknown = await stranger.connect(options(theirs, persistent=False), theirs.take)
    except ConnectionFailed:
        return False
    theirs.use(unknown)
    try:
        async with patient.client() as ours:
            await ours.connection.subscribe(ours.topic)
            await unknown.subscribe(theirs.topic)
            await unknown.publish(ours.topic, b"doctor")
            await patient.publish(theirs.topic, b"doctor")
            for probe in (ours, theirs):  # a round trip, behind what has come
                await probe.connection.publish(f"{probe.topic}/nobody", b"")
            return bool(ours.messages or theirs.messages)
    except ConnectionFailed:  # it was let in, and thrown out again
        return False
    finally:
        await unknown.close()
