"""Who may connect: a file of user names and hashed passwords, as `mosquitto_passwd` writes it.

A line is ``name:$7$<iterations>$<salt>$<hash>``: PBKDF2 of SHA-512 over the password, salt and hash
in base 64; or ``name:$6$<salt>$<hash>``, the older form: SHA-512 of the password and the salt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from routeq_broker.errors import AccessFileBroken

if TYPE_CHECKING:
    from pathlib import Path

_ITERATIONS = 10_000
_MOST_ITERATIONS = 10_000_000
_NOBODY = (os.urandom(16), os.urandom(64), 101)


class Users:
    """User names and how to check their passwords; the passwords themselves are not known.

    Args:
        hashes: of each user salt, hash, and iterations (0: the older form).
    """

    def __init__(self, hashes: dict[str, tuple[bytes, bytes, int]]) -> None:
        self._hashes = hashes

    @classmethod
    def read(cls, *paths: Path) -> Users:
        """Read files of users.

        Raises:
            AccessFileBroken: one cannot be read, or has a line that makes no sense; names file
                and line, never the line's content.
        """
        hashes: dict[str, tuple[bytes, bytes, int]] = {}
        for path in paths:
            for number, line in lines_of(path):
                name, colon, rest = line.partition(":")
                hashed = _parse(rest) if colon and name else None
                if hashed is None:
                    raise AccessFileBroken(
                        f"{path}, line {number}: no name and hashed password; "
                        "write it with: mosquitto_passwd (a file of plain passwords: with -U)"
                    )
                hashes[name] = hashed
        return cls(hashes)

    def check(self, name: str, password: bytes) -> bool:
        """Whether this is the user's password; takes as long for a user that there is not."""
        salt, wanted, iterations = self._hashes.get(name, _NOBODY)
        return hmac.compare_digest(_hash(password, salt, iterations), wanted)


def hashed_line(name: str, password: str) -> str:
    """A line for the file of users, which mosquitto reads, too."""
    salt = os.urandom(12)
    made = _hash(password.encode(), salt, _ITERATIONS)
    parts = (base64.b64encode(part).decode() for part in (salt, made))
    return f"{name}:$7${_ITERATIONS}${'$'.join(parts)}"


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The numbered lines of a file that are neither empty nor a comment.

    Raises:
        AccessFileBroken: it cannot be read.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessFileBroken(f"cannot read {path}: {error}") from None
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _hash(password: bytes, salt: bytes, iterations: int) -> bytes:
    if iterations:
        return hashlib.pbkdf2_hmac("sha512", password, salt, iterations)
    return hashlib.sha512(password + salt).digest()


def _parse(text: str) -> tuple[bytes, bytes, int] | None:
    match text.split("$"):
        case ["", "7", count, salt, made] if count.isdecimal():
            iterations = int(count)
        case ["", "6", salt, made]:
            iterations = 0
        case _:
            return None
    try:
        parts = (base64.b64decode(salt, validate=True), base64.b64decode(made, validate=True))
    except (binascii.Error, ValueError):
        return None
    if iterations > _MOST_ITERATIONS or len(parts[1]) != hashlib.sha512().digest_size:
        return None
    return (*parts, iterations)
