"""Settings: what the environment says (`ROUTEQ_*`), read when a bus is made, never at import.

Each field is the variable ``ROUTEQ_<FIELD>``; `docs/settings.md` is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf
from typing import TYPE_CHECKING, Any, cast, get_args

from routeq_mqtt.environment import PREFIX, environment, secret
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.address import BrokerAddress, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_URL = "mqtt://127.0.0.1:1883"
MAX_PAYLOAD = 256 * 1024


def _text(name: str, value: str) -> str:
    return value


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < inf:
        raise ConfigurationError(f"{name}={value!r} must be a number above 0")
    return number


def _prefix(name: str, value: str) -> str:
    if not value.endswith("/") or len(value) < 2 or any(char in value for char in "+#\0"):
        raise ConfigurationError(
            f"{name}={value!r} must be the beginning of a topic: it ends in /, without + and #"
        )
    return value


def _whole(name: str, value: str) -> int:
    return int(_number(name, value))


def _protocol(name: str, value: str) -> Protocol:
    if value not in get_args(Protocol):
        raise ConfigurationError(
            f"{name}={value!r} is unknown; use one of {', '.join(get_args(Protocol))}"
        )
    return cast("Protocol", value)


def about(
    text: str,
    *,
    read: Callable[[str, str], object] = _text,
    shown: str | None = None,
) -> dict[str, object]:
    """What a field is for, how its variable is read, and how its default is shown."""
    return {"about": text, "read": read, "shown": shown}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the bus; what each is for stands beside it, and in `docs/settings.md`.

    Those that may hold a secret are left out of the `repr`; their variables have a twin that
    names a file instead: ``ROUTEQ_PASSWORD_FILE``.
    """

    url: str = field(
        default=DEFAULT_URL,
        repr=False,
        metadata=about("The broker: `mqtt[s]://user:password@host:port` or `ws[s]://…/path`."),
    )
    username: str | None = field(default=None, metadata=about("User name, where the URL has none."))
    password: str | None = field(
        default=None, repr=False, metadata=about("Password, where the URL has none.")
    )
    protocol: Protocol = field(
        default="auto",
        metadata=about("`5`, `3.1.1`, or `auto`: 5 where the broker speaks it.", read=_protocol),
    )
    ca_file: str | None = field(
        default=None,
        metadata=about(
            "PEM file of the authority that signed the broker's certificate.", shown="the system's"
        ),
    )
    cert_file: str | None = field(
        default=None, metadata=about("PEM file of our own certificate, for mutual TLS.")
    )
    key_file: str | None = field(
        default=None,
        metadata=about("PEM file of its key, not encrypted.", shown="the certificate's file"),
    )
    intake_prefix: str = field(
        default="$queue/",
        metadata=about(
            "In front of a queue's name: where anybody may publish a job.", read=_prefix
        ),
    )
    delivery_prefix: str = field(
        default="queue/",
        metadata=about(
            "In front of a queue's name: where workers listen on mosquitto.", read=_prefix
        ),
    )
    timeout: float = field(
        default=10.0, metadata=about("Seconds that a dispatch may take.", read=_number)
    )
    max_payload: int = field(
        default=MAX_PAYLOAD, metadata=about("Bytes that an envelope may have.", read=_whole)
    )

    @classmethod
    def from_environment(
        cls, env: Mapping[str, str] | None = None, *, url: str | None = None
    ) -> Settings:
        """Read ``ROUTEQ_URL``, ``ROUTEQ_PROTOCOL``, ``ROUTEQ_CA_FILE``, … .

        Args:
            env: where to read them; default: the environment, and a `.env` file beneath it.
            url: beats ``ROUTEQ_URL``.

        Raises:
            ConfigurationError: a value makes no sense; names the variable.
        """
        env = environment() if env is None else env
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = f"{PREFIX}{spec.name.upper()}"
            value = env.get(name) if spec.repr else secret(env, name)
            if value:
                values[spec.name] = spec.metadata["read"](name, value)
        if url is not None:
            values["url"] = url
        return cls(**values)

    def address(self) -> BrokerAddress:
        """Where the broker is.

        Raises:
            ConfigurationError: the URL, or what goes with it, makes no sense.
        """
        return BrokerAddress.parse(
            self.url,
            username=self.username,
            password=self.password,
            protocol=self.protocol,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )

    def topics(self) -> Topics:
        """The topics of the bus."""
        return Topics(intake_prefix=self.intake_prefix, delivery_prefix=self.delivery_prefix)
