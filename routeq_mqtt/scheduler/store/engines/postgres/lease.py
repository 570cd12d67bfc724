"""Who may write in a database: one scheduler, for as long as it says so again and again.

The lease is a row of the database. Its epoch is its key: who takes it over changes the key, and
each transaction of a scheduler begins by holding the key that it knows. So one that was frozen, or
cut off, commits nothing once another one has taken over. The time is the server's.
"""

from __future__ import annotations

import contextlib
import logging
import os
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.store.engines.postgres.session import connect, is_away

if TYPE_CHECKING:
    from typing import Any

    from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl

log: logging.Logger = logging.getLogger(__name__)

LIVES = 1.5
"""Seconds for which a lease that is renewed no more is kept."""

_RENEWED_EVERY = 0.4
_OLDEST = 130_000

_MAKE = """
CREATE TABLE IF NOT EXISTS lease (
    epoch BIGINT PRIMARY KEY, owner TEXT NOT NULL, until TIMESTAMPTZ NOT NULL
)
"""
_FIRST = "INSERT INTO lease SELECT 0, '', '-infinity' WHERE NOT EXISTS (SELECT 1 FROM lease)"
_UNTIL = f"clock_timestamp() + interval '{LIVES} seconds'"
_TAKE = f"""
UPDATE lease SET epoch = epoch + 1, until = {_UNTIL},
    owner = coalesce(host(inet_client_addr()), 'local') || ' pid ' || $1
WHERE until < clock_timestamp() RETURNING epoch
"""
_RENEW = f"UPDATE lease SET until = {_UNTIL} WHERE epoch = $1"
_RELEASE = "UPDATE lease SET until = '-infinity' WHERE epoch = $1"


class Lease:
    """A lease that is ours; renewed in a thread until it is released, or lost.

    Args:
        url: of the database.
        connection: its own.
        epoch: of the lease.

    Attributes:
        is_lost: another scheduler has taken over.
    """

    def __init__(self, url: PostgresUrl, connection: psycopg.Connection[Any], epoch: int) -> None:
        self.url = url
        self.epoch = epoch
        self.is_lost: bool = False
        self._connection = connection
        self._released = Event()
        self._thread = Thread(target=self._keep, name="routeq-lease", daemon=True)
        self._thread.start()

    @property
    def fence(self) -> str:
        """A statement that finds a row, the transaction's id, while the lease is ours.

        A take-over waits for the lock of the row: it comes before the transaction, or after it.
        """
        return (
            f"SELECT pg_current_xact_id()::text FROM lease WHERE epoch = {self.epoch} FOR KEY SHARE"
        )

    def _keep(self) -> None:
        while not self._released.wait(_RENEWED_EVERY):
            try:
                if self._connection.closed:
                    self._connection = connect(self.url)
                if not self._connection.execute(_RENEW, (self.epoch,)).rowcount:
                    self.is_lost = True
                    log.error("another scheduler has taken over db=%s", self.url)
                    break
            except psycopg.Error as error:
                log.debug("cannot renew the lease of db=%s: %s", self.url, error)
                self._disconnect()
            except Exception:  # this thread must not end unseen while we write
                log.exception("cannot renew the lease of db=%s", self.url)
                self._disconnect()

    def _disconnect(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def release(self) -> None:
        """Let others have it."""
        self._released.set()
        self._thread.join()
        with contextlib.suppress(psycopg.Error):
            if not self._connection.closed:
                self._connection.execute(_RELEASE, (self.epoch,))
            self._connection.close()


class Taker:
    """Takes the lease of a database as soon as it is free.

    Args:
        url: of the database.
    """

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._is_made = False
        self._is_away = False
        self._waits_until = -inf

    def take(self) -> Lease | None:
        """The lease; None: another scheduler has it, or the server is away.

        Once a server that was away is back, its scheduler has the time of a lease to renew it.

        Raises:
            ConfigurationError: the server refuses us, or is not one that we can use.
        """
        try:
            if self._connection is None:
                self._connection = connect(self._url)
                if self._is_away:
                    self._is_away = False
                    self._waits_until = monotonic() + LIVES
            if monotonic() < self._waits_until:
                return None
            if not self._is_made:
                _make(self._connection, self._url)
                self._is_made = True
            found = self._connection.execute(_TAKE, (str(os.getpid()),)).fetchone()
        except psycopg.errors.LockNotAvailable:
            return None  # its owner is in the middle of a transaction
        except psycopg.Error as error:
            self.close()
            if is_away(error) and not _refuses(error):
                if not self._is_away:
                    log.error("cannot reach db=%s: %s", self._url, str(error).strip())
                self._is_away = True
                return None
            raise ConfigurationError(f"--db={self._url}: {str(error).strip()}") from None
        if found is None:
            return None
        one, self._connection = self._connection, None
        return Lease(self._url, one, found[0])

    def close(self) -> None:
        """Stop trying."""
        one, self._connection = self._connection, None
        if one is not None:
            with contextlib.suppress(psycopg.Error):
                one.close()


def _refuses(error: psycopg.Error) -> bool:
    """Whether a server is there, and will not have us: a wrong password, no such database."""
    text = str(error)
    return (
        "authentication failed" in text
        or "does not exist" in text
        or "no pg_hba.conf entry" in text
        or "no password supplied" in text
    )


def _make(one: psycopg.Connection[Any], url: PostgresUrl) -> None:
    """The schema, and the lease in it; each once, however many begin together."""
    version = one.info.server_version
    if version < _OLDEST:
        raise ConfigurationError(f"--db={url}: PostgreSQL 13 or later is needed, not {version}")
    [encoding] = one.execute("SHOW server_encoding").fetchone() or ("?",)
    if encoding != "UTF8":
        raise ConfigurationError(f"--db={url}: the database's encoding must be UTF8: {encoding}")
    one.execute("SET lock_timeout = 500")
    with one.transaction():
        one.execute("SELECT pg_advisory_xact_lock(hashtext($1))", (f"routeq {url.schema}",))
        if one.execute("SELECT to_regclass('lease')").fetchone() == (None,):
            one.execute(f'CREATE SCHEMA IF NOT EXISTS "{url.schema}"')
            one.execute(_MAKE)
            one.execute(_FIRST)
