"""What to do about a broker that was not reached, or that refused: the end of the error's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.transport.address import BrokerAddress

UNSUPPORTED_VERSION = frozenset({1, 132})
"""Reasons of a CONNACK (MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2)."""
_IDENTIFIER = frozenset({2, 133})
_NOT_LET_IN = frozenset({4, 5, 134, 135})


def not_reached(error: str, address: BrokerAddress) -> str:
    """After an attempt to connect that got no answer.

    Args:
        error: what the socket, TLS or the websocket said.
        address: that was tried.
    """
    if "CERTIFICATE_VERIFY_FAILED" in error:
        if "mismatch" in error:
            return "write the URL with a name that the certificate has"
        if "expired" in error or "not yet valid" in error:
            return "give the broker a new certificate, or set the clock of this machine"
        return "name the authority that signed the broker's certificate: ROUTEQ_CA_FILE"
    if "SSL" in error or "certificate" in error:
        return "does it speak TLS there, and does it want a client certificate (ROUTEQ_CERT_FILE)?"
    if "WebSocket" in error:
        return "does it speak websockets there, and at that path (ws://host:port/path)?"
    if not address.tls and ("connection lost" in error or "closed the connection" in error):
        return "does it speak MQTT there, and does it want TLS (mqtts://, wss://)?"
    return "is it running?"


def refused(reason: int, address: BrokerAddress) -> str:
    """After a CONNACK that says no; empty where there is nothing to say.

    Args:
        reason: of the CONNACK.
        address: that was tried.
    """
    if reason in UNSUPPORTED_VERSION:
        if address.protocol == "auto":
            return "it speaks neither MQTT 5 nor 3.1.1"
        return f"it does not speak MQTT {address.protocol}: set ROUTEQ_PROTOCOL=auto"
    if reason in _IDENTIFIER:
        return "its rules do not allow our client identifier"
    if reason not in _NOT_LET_IN:
        return ""
    if address.username is None and address.cert_file is None:
        return "it wants to know who we are: set ROUTEQ_USERNAME and ROUTEQ_PASSWORD"
    if address.username is not None and address.password is None:
        return "no password was given: set ROUTEQ_PASSWORD, or ROUTEQ_PASSWORD_FILE"
    return "check ROUTEQ_USERNAME and ROUTEQ_PASSWORD, and what its rules allow this user"
