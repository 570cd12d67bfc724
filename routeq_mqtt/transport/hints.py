"""What to do about a broker that was not reached, or that refused: the end of the error's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.transport.address import BrokerAddress

UNSUPPORTED_VERSION = frozenset({1, 132})
"""Reasons of a CONNACK (MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2)."""
_IDENTIFIER = frozenset({2, 133})
_NOT_LET_IN = frozenset({4, 5, 134, 135})
_QOS = 155
QOS_1 = "jobs need QoS 1: allow it (mosquitto: max_qos 1 or 2)"
SILENT = "check the address, the port, and the firewalls on the way"
NO_MQTT = "the answer is not MQTT"

_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
_NO_SUCH_NAME = (
    "Name or service not known", "nodename nor servname", "No address associated",
    "getaddrinfo failed",
)  # fmt: skip
_NO_ROUTE = ("Network is unreachable", "No route to host", "Host is unreachable", "Host is down")
_NO_TLS = ("UNEXPECTED_EOF", "EOF occurred", "WRONG_VERSION_NUMBER", "RECORD_LAYER", "record layer")
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "handshake failure")


def not_reached(error: str, address: BrokerAddress) -> str:
    """After an attempt to connect that got no answer.

    Args:
        error: what the socket, TLS or the websocket said.
        address: that was tried.
    """
    return (
        _of_the_network(error, address)
        or _of_tls(error, address)
        or _of_the_protocol(error, address)
        or _not_running(address)
    )


def _not_running(address: BrokerAddress) -> str:
    if address.host in _THIS_MACHINE:
        return "is it running? start one: routeq-mqtt up --app MODULE, or routeq-mqtt broker"
    return "is it running?"


def _of_the_network(error: str, address: BrokerAddress) -> str:
    if any(text in error for text in _NO_SUCH_NAME):
        return f"DNS knows no host {address.host!r}: correct the name in the URL"
    if "Temporary failure in name resolution" in error:
        return f"no DNS server answered for {address.host!r}: is this machine online?"
    if any(text in error for text in _NO_ROUTE):
        return "check the address, and this machine's network or VPN"
    if "timed out" in error:
        return SILENT
    return ""


def _of_tls(error: str, address: BrokerAddress) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in error:
        if "mismatch" in error:
            return "write the URL with a name that the certificate has"
        if "expired" in error or "not yet valid" in error:
            return "give the broker a new certificate, or set the clock of this machine"
        return "name the authority that signed the broker's certificate: ROUTEQ_CA_FILE"
    if any(text in error for text in _WANTS_CERTIFICATE):
        return "it may want a client certificate: ROUTEQ_CERT_FILE and ROUTEQ_KEY_FILE"
    if any(text in error for text in _NO_TLS):
        scheme, port = ("mqtt", 8883) if address.websocket_path is None else ("ws", 443)
        return (
            f"port {address.port} may not speak TLS: use its TLS port (often {port}), "
            f"or {scheme}:// without TLS; or it wants a client certificate (ROUTEQ_CERT_FILE)"
        )
    if "SSL" in error or "certificate" in error:
        return "does it speak TLS there, and does it want a client certificate (ROUTEQ_CERT_FILE)?"
    return ""


def _of_the_protocol(error: str, address: BrokerAddress) -> str:
    if "WebSocket" in error:
        return "does it speak websockets there, and at that path (ws://host:port/path)?"
    if NO_MQTT in error:
        return f"something else listens on port {address.port}: MQTT is often on 1883 or 8883"
    if not address.tls and ("connection lost" in error or "closed the connection" in error):
        return "does it speak MQTT there, and does it want TLS (mqtts://, wss://)?"
    return ""


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
    if reason == _QOS:
        return QOS_1
    if reason in _IDENTIFIER:
        return "its rules do not allow our client identifier"
    if reason not in _NOT_LET_IN:
        return ""
    if address.username is None and address.cert_file is None:
        return "the broker requires authentication: set ROUTEQ_USERNAME and ROUTEQ_PASSWORD"
    if address.username is not None and address.password is None:
        return "no password was given: set ROUTEQ_PASSWORD, or ROUTEQ_PASSWORD_FILE"
    return "check ROUTEQ_USERNAME and ROUTEQ_PASSWORD, and what its rules allow this user"
