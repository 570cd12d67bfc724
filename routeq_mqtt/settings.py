"""Settings: what the environment says (`ROUTEQ_*`), read when a bus is made, never at import."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, cast, get_args

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.address import BrokerAddress, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "mqtt://127.0.0.1:1883"
MAX_PAYLOAD = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the bus.

    Attributes:
        url: of the broker: ``mqtt[s]://user:password@host:port`` or ``ws[s]://…``.
        protocol: "auto", "5" or "3.1.1".
        ca_file, cert_file, key_file: PEM files for TLS.
        intake_prefix, delivery_prefix: for brokers with ideas of their own about ``$queue``.
        timeout: seconds that a dispatch may take; default 10.
        max_payload: bytes that an envelope may have; default 256 KiB.
    """

    url: str = field(default=DEFAULT_URL, repr=False)
    protocol: Protocol = "auto"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    intake_prefix: str = "$queue/"
    delivery_prefix: str = "queue/"
    timeout: float = 10.0
    max_payload: int = MAX_PAYLOAD

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read ``ROUTEQ_URL``, ``ROUTEQ_PROTOCOL``, ``ROUTEQ_CA_FILE``, … .

        Raises:
            ConfigurationError: a value makes no sense; names the variable.
        """
        env = os.environ if environment is None else environment
        protocol = env.get("ROUTEQ_PROTOCOL") or "auto"
        if protocol not in get_args(Protocol):
            raise ConfigurationError(
                f"ROUTEQ_PROTOCOL={protocol!r} is unknown; "
                f"use one of {', '.join(get_args(Protocol))}"
            )
        return cls(
            url=env.get("ROUTEQ_URL") or DEFAULT_URL,
            protocol=cast("Protocol", protocol),
            ca_file=env.get("ROUTEQ_CA_FILE") or None,
            cert_file=env.get("ROUTEQ_CERT_FILE") or None,
            key_file=env.get("ROUTEQ_KEY_FILE") or None,
            intake_prefix=_prefix(env, "ROUTEQ_INTAKE_PREFIX", "$queue/"),
            delivery_prefix=_prefix(env, "ROUTEQ_DELIVERY_PREFIX", "queue/"),
            timeout=_number(env, "ROUTEQ_TIMEOUT", 10.0),
            max_payload=int(_number(env, "ROUTEQ_MAX_PAYLOAD", MAX_PAYLOAD)),
        )

    def address(self) -> BrokerAddress:
        """Where the broker is."""
        return BrokerAddress.parse(
            self.url,
            protocol=self.protocol,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )

    def topics(self) -> Topics:
        """The topics of the bus."""
        return Topics(intake_prefix=self.intake_prefix, delivery_prefix=self.delivery_prefix)


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    raw = env.get(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 < value < inf:
        raise ConfigurationError(f"{name}={raw!r} must be a number above 0")
    return value


def _prefix(env: Mapping[str, str], name: str, default: str) -> str:
    prefix = env.get(name) or default
    if not prefix.endswith("/") or len(prefix) < 2 or any(char in prefix for char in "+#\0"):
        raise ConfigurationError(
            f"{name}={prefix!r} must be the beginning of a topic: it ends in /, without + and #"
        )
    return prefix
