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

_ITERATIONS = 210_000
"""For new entries: what OWASP advises for PBKDF2 with SHA-512."""

_FEWEST = 1_000
_MOST_ITERATIONS = 10_000_000


class Users:
    """User names and how to check their passwords; the passwords themselves are not known.

    Args:
        hashes: of each user salt, hash, and iterations (0: the older form).
    """

    def __init__(self, hashes: dict[str, tuple[bytes, bytes, int]]) -> None:
        self._hashes = hashes
        # Every check costs what the dearest entry costs: the time says nothing about the name.
        self._cost = max((entry[2] for entry in hashes.values()), default=_FEWEST)
        self._nobody = (os.urandom(16), os.urandom(64), self._cost)
        self._secret = os.urandom(32)
        self._seen: dict[str, bytes] = {}

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
        """Whether this is the user's password; takes equally long for every name.

        It takes tens of milliseconds of a processor: call it in a thread.
        """
        salt, wanted, iterations = self._hashes.get(name, self._nobody)
        right = hmac.compare_digest(_hash(password, salt, iterations), wanted)
        if self._cost > iterations:
            hashlib.pbkdf2_hmac("sha512", password, salt, self._cost - iterations)
        if right:
            self._seen[name] = self._mark(password)
        return right

    def remembers(self, name: str, password: bytes) -> bool:
        """Whether exactly this was checked before and right: a client that comes back costs little.

        Only a keyed digest of the password is kept, in memory, under a key of this process.
        """
        known = self._seen.get(name)
        return known is not None and hmac.compare_digest(known, self._mark(password))

    def _mark(self, password: bytes) -> bytes:
        return hmac.digest(self._secret, password, "sha256")


def hashed_line(name: str, password: str, *, iterations: int = _ITERATIONS) -> str:
    """A line for the file of users, which mosquitto reads, too.

    Args:
        name: of the user.
        password: is not part of the line.
        iterations: of PBKDF2; default 210,000. Each login costs that much; mosquitto stands still
            meanwhile, this broker does not.
    """
    salt = os.urandom(12)
    made = _hash(password.encode(), salt, iterations)
    parts = (base64.b64encode(part).decode() for part in (salt, made))
    return f"{name}:$7${iterations}${'$'.join(parts)}"


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
