"""Secret keys with names, so that they can be changed while jobs are on their way."""

from __future__ import annotations

import base64
import binascii
import re

from routeq_mqtt.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_SEALING_BYTES = 32


class Keys:
    """Named keys; the first is used for what is new, all for what comes in.

    Args:
        by_name: in order; not empty.
    """

    def __init__(self, by_name: dict[str, bytes]) -> None:
        self._by_name = by_name
        self.newest: str = next(iter(by_name))

    def __repr__(self) -> str:
        return f"<Keys {', '.join(self._by_name)}>"

    def get(self, name: object) -> bytes | None:
        """The key of a name."""
        return self._by_name.get(name) if isinstance(name, str) else None

    @property
    def newest_key(self) -> bytes:
        """The key of the first name."""
        return self._by_name[self.newest]


def signing_keys(text: str, where: str) -> Keys:
    """Read ``k2:secret,k1:older secret``; a secret is any text without a comma, in UTF-8.

    Raises:
        ConfigurationError: it cannot be read; shows no secret.
    """
    return Keys({name: secret.encode() for name, secret in _pairs(text, where)})


def sealing_keys(text: str, where: str) -> Keys:
    """Read ``k2:base64,k1:base64``; each is 32 bytes (``openssl rand -base64 32``).

    Raises:
        ConfigurationError: it cannot be read; shows no key.
    """
    return Keys({name: _decoded(name, secret, where) for name, secret in _pairs(text, where)})


def _pairs(text: str, where: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, part in enumerate(text.split(","), 1):
        name, _, secret = part.strip().partition(":")
        if not _NAME.fullmatch(name) or not secret:
            raise ConfigurationError(
                f"{where}: entry {number} is not a key; write name:secret, several with commas "
                "between them, the newest first"
            )
        if any(name == other for other, _ in pairs):
            raise ConfigurationError(f"{where}: the key name {name!r} is there twice")
        pairs.append((name, secret))
    return pairs


def _decoded(name: str, secret: str, where: str) -> bytes:
    try:
        key = base64.b64decode(secret.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _SEALING_BYTES:
        raise ConfigurationError(
            f"{where}: key {name!r} must be 32 bytes in base64; make one: openssl rand -base64 32"
        )
    return key
