"""What an error says to do; the texts are those of OpenSSL. Others come up in `tests/secure`."""

from __future__ import annotations

import pytest

from routeq_mqtt.transport import hints
from routeq_mqtt.transport.address import BrokerAddress

FAILED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("IP address mismatch, certificate is not valid for '127.0.0.1'.", "a name that"),
        ("Hostname mismatch, certificate is not valid for 'h'.", "a name that the certificate has"),
        ("certificate has expired", "a new certificate, or set the clock"),
        ("certificate is not yet valid", "set the clock of this machine"),
        ("self-signed certificate in certificate chain", "ROUTEQ_CA_FILE"),
    ],
)
def test_a_certificate_that_does_not_verify_has_its_own_hint(error: str, hint: str) -> None:
    assert hint in hints.not_reached(FAILED + error, BrokerAddress(tls=True))


def test_a_broker_that_takes_neither_protocol() -> None:
    assert hints.refused(1, BrokerAddress()) == "it speaks neither MQTT 5 nor 3.1.1"
    assert "MQTT 3.1.1: set ROUTEQ_PROTOCOL" in hints.refused(1, BrokerAddress(protocol="3.1.1"))


@pytest.mark.parametrize(
    ("error", "tls", "hint"),
    [
        ("[Errno -2] Name or service not known", False, "DNS knows no host 'broker.example'"),
        ("[Errno -3] Temporary failure in name resolution", False, "no DNS server answered"),
        ("[Errno 101] Network is unreachable", False, "this machine's network"),
        ("[Errno 113] No route to host", False, "this machine's network"),
        ("[Errno 110] Connection timed out", False, "firewalls"),
        ("[Errno 111] Connection refused", False, "is it running?"),
        ("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", True, "port 1883 may not speak TLS"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True, "TLS port (often 8883)"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", True, "it may want a client certificate"),
        ("connection lost: the broker closed the connection", False, "does it want TLS"),
    ],
)
def test_each_failure_has_its_own_hint(error: str, tls: bool, hint: str) -> None:
    address = BrokerAddress(host="broker.example", port=1883, tls=tls)
    assert hint in hints.not_reached(error, address)


def test_a_local_broker_that_is_not_running_can_be_started() -> None:
    refused = "[Errno 111] Connection refused"
    local = hints.not_reached(refused, BrokerAddress(host="localhost"))
    assert local == "is it running? start one: routeq-mqtt up --app MODULE, or routeq-mqtt broker"
    assert hints.not_reached(refused, BrokerAddress(host="broker.example")) == "is it running?"
