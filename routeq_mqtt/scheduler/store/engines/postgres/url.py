"""Where a database in PostgreSQL is; needs no driver."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from routeq_mqtt.errors import ConfigurationError

_SCHEMES = ("postgresql://", "postgres://")
_SECRET = {"password", "sslpassword"}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """The place of a database; as text without its password.

    Attributes:
        conninfo: for libpq.
        schema: of the tables: one scheduler's database is one schema.
        shown: the url without password.
    """

    conninfo: str
    schema: str
    shown: str

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"PostgresUrl({self.shown!r})"

    @classmethod
    def parse(cls, text: str) -> PostgresUrl:
        """Read ``postgresql://user@host/database``.

        ``schema=``, default "routeq", is ours; all other options are libpq's.

        Raises:
            ConfigurationError: it is unreadable.
        """
        try:
            parts = urlsplit(text)
            options = parse_qsl(
                parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
            )
            user, at, place = parts.netloc.rpartition("@")
        except ValueError as error:
            raise ConfigurationError(f"--db: an unreadable url of PostgreSQL: {error}") from None
        schema = dict(options).get("schema", "routeq")
        if not _NAME.fullmatch(schema):
            raise ConfigurationError(
                f"--db: schema={schema!r} must be lower case letters, digits and _, 63 at most"
            )
        rest = [(name, value) for name, value in options if name != "schema"]
        hidden = [(name, "***" if name in _SECRET else value) for name, value in options]
        name = user.partition(":")[0]
        return cls(
            urlunsplit(parts._replace(query=urlencode(rest))),
            schema,
            urlunsplit(
                parts._replace(netloc=f"{name}{at}{place}", query=urlencode(hidden, safe="*/"))
            ),
        )


DatabasePlace = Path | PostgresUrl
"""Where a database is: a file of SQLite, or a schema in PostgreSQL."""


def place_of(text: str) -> DatabasePlace:
    """Read the place of a database.

    Raises:
        ConfigurationError: it is an unreadable url.
    """
    return PostgresUrl.parse(text) if text.startswith(_SCHEMES) else Path(text)
