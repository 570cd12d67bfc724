"""TLS as an address asks for it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from routeq_mqtt.transport.address import BrokerAddress


def tls_context(address: BrokerAddress) -> ssl.SSLContext | None:
    """Read at each connect, so that certificates can be renewed while we run.

    Raises:
        ConfigurationError: a certificate's file cannot be used.
    """
    if not address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.cert_file is not None:
            context.load_cert_chain(address.cert_file, address.key_file, password=_no_passphrase)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"TLS with ca_file={address.ca_file} cert_file={address.cert_file} "
            f"key_file={address.key_file}: {error}"
        ) from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; it must be readable without asking")
