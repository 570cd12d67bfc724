"""What an error says to do; the texts are those of OpenSSL. Others come up in `tests/secure`."""

from __future__ import annotations

import pytest

from routeq_mqtt.transport import mends
from routeq_mqtt.transport.address import BrokerAddress

FAILED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        ("IP address mismatch, certificate is not valid for '127.0.0.1'.", "a name that"),
        ("Hostname mismatch, certificate is not valid for 'h'.", "a name that the certificate has"),
        ("certificate has expired", "a new certificate, or set the clock"),
        ("certificate is not yet valid", "set the clock of this machine"),
        ("self-signed certificate in certificate chain", "ROUTEQ_CA_FILE"),
    ],
)
def test_a_certificate_that_does_not_verify_has_its_own_mend(error: str, mend: str) -> None:
    assert mend in mends.not_reached(FAILED + error, BrokerAddress(tls=True))


def test_a_broker_that_takes_neither_protocol() -> None:
    assert mends.refused(1, BrokerAddress()) == "it speaks neither MQTT 5 nor 3.1.1"
    assert "MQTT 3.1.1: set ROUTEQ_PROTOCOL" in mends.refused(1, BrokerAddress(protocol="3.1.1"))
