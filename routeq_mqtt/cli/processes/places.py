"""Where a service listens, as a flag says it."""

from __future__ import annotations

from routeq_mqtt.errors import ConfigurationError


def read_place(value: str, where: str) -> tuple[str, int]:
    """Host and port of ``[host:]port``; without a host only this machine can connect.

    Raises:
        ConfigurationError: it is no such thing; names the flag, `where`.
    """
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdecimal()) or int(port) > 65_535 or " " in host:
        raise ConfigurationError(
            f"{where}={value!r} must be a port, or a host and a port: 9108, 0.0.0.0:9108"
        )
    return host, int(port)
