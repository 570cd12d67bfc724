"""Where the broker is and how to get in: one URL, parsed once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from routeq_mqtt.errors import ConfigurationError

Protocol = Literal["auto", "5", "3.1.1"]

_BETWEEN = re.compile(r",(?=\s*(?:mqtts?|wss?)://)")

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A parsed broker URL.

    Attributes:
        host: name or address.
        port: TCP port; default 1883, 8883 (mqtts), 80 (ws), 443 (wss).
        tls: encrypt and verify the broker's certificate.
        websocket_path: path and query of a websocket endpoint, or None for plain TCP. A query
            may be a signature, and is not shown.
        username, password: from the URL; the password is never shown.
        protocol: ``"5"``, ``"3.1.1"``, or ``"auto"``: 5 where the broker speaks it.
        ca_file, cert_file, key_file: PEM files for TLS; default the system's authorities.
        keep_alive: seconds of silence after which a connection is tested, at most; None: as each
            connection has it, 5 to 30.
        client_prefix: in front of every client identifier; see `Topics.client_prefix`.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    tls: bool = False
    websocket_path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: Protocol = "auto"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keep_alive: int | None = None
    client_prefix: str = ""

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        protocol: Protocol = "auto",
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        keep_alive: int | None = None,
        client_prefix: str = "",
    ) -> BrokerAddress:
        """Parse ``mqtt[s]://user:password@host:port`` or ``ws[s]://…/path``.

        User and password in the URL take precedence over `username` and `password`.

        Raises:
            ConfigurationError: the URL cannot be understood; it is shown without its password.
        """
        shown = without_secrets(url)
        try:
            parts = urlsplit(url if "//" in url else f"mqtt://{url}")
            port = parts.port
        except ValueError:
            raise ConfigurationError(
                f"broker URL {shown!r} cannot be read; write it as mqtt://user:password@host:1883, "
                "the port from 1 to 65535, and / ? # @ : in a password as %2F %3F %23 %40 %3A"
            ) from None
        if parts.scheme not in _PORTS:
            raise ConfigurationError(
                f"broker URL {shown!r}: scheme {parts.scheme!r} is unknown; "
                "use mqtt://, mqtts://, ws:// or wss://"
            )
        if port == 0:
            raise ConfigurationError(f"broker URL {shown!r}: a port is a number from 1 to 65535")
        if not parts.hostname:
            raise ConfigurationError(
                f"broker URL {shown!r} names no host; write it as mqtt://host:1883"
            )
        tls = parts.scheme in {"mqtts", "wss"}
        if not tls and (ca_file or cert_file or key_file):
            raise ConfigurationError(
                f"broker URL {shown!r} does not encrypt, though certificates are given "
                "(ca_file, cert_file or key_file); write it as mqtts:// or wss://"
            )
        if key_file and not cert_file:
            raise ConfigurationError(f"key_file={key_file!r} needs a certificate: give cert_file")
        path = parts.path or "/mqtt"
        return cls(
            host=_host(parts.hostname),
            port=_PORTS[parts.scheme] if port is None else port,
            tls=tls,
            websocket_path=(f"{path}?{parts.query}" if parts.query else path)
            if parts.scheme in {"ws", "wss"}
            else None,
            username=unquote(parts.username) if parts.username else username,
            password=unquote(parts.password) if parts.password else password,
            protocol=protocol,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            keep_alive=keep_alive,
            client_prefix=client_prefix,
        )

    def __str__(self) -> str:
        web = self.websocket_path is not None
        scheme = {(0, 0): "mqtt", (0, 1): "mqtts", (1, 0): "ws", (1, 1): "wss"}[web, self.tls]
        host = f"[{self.host}]" if ":" in self.host else self.host
        path, query, _ = (self.websocket_path or "").partition("?")
        return f"{scheme}://{host}:{self.port}{path}{'?***' if query else ''}"


def split(url: str) -> list[str]:
    """The addresses of a setting: separated by commas, each of them with its scheme.

    A comma that no scheme follows belongs to a password.
    """
    return [one.strip() for one in _BETWEEN.split(url)]


def _host(name: str) -> str:
    """The zone of an IPv6 address is written as %25eth0 in a URL (RFC 6874, 2)."""
    return name.replace("%25", "%", 1) if ":" in name else name


def without_secrets(url: str) -> str:
    """A URL as it may be shown: nothing before the last @, whatever was meant, and no query."""
    before, at, rest = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    shown, query, _ = rest.partition("?")
    shown += "?***" if query else ""
    return f"{scheme if slashes else ''}{slashes}***@{shown}" if at else shown


def holds_password(url: str) -> bool:
    """Whether a URL, or one of several, names a password, however wrongly it is written."""
    if len(split(url)) > 1:
        return any(map(holds_password, split(url)))
    before, at, _ = url.rpartition("@")
    return bool(at) and ":" in before.partition("//")[2 if "//" in before else 0]
