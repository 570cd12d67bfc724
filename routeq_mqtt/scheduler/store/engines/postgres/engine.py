"""PostgreSQL as an engine: one connection in a thread of its own, and one for those who look."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets as randomness
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from routeq_mqtt.errors import ConfigurationError, StaleDatabase
from routeq_mqtt.scheduler.store.engines.engine import Columns, Engine, Secrets, Values
from routeq_mqtt.scheduler.store.engines.postgres.schema import SCRIPT, VERSION, migrations_from
from routeq_mqtt.scheduler.store.engines.postgres.session import Session, is_away
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.sql import epoch as sql_epoch
from routeq_mqtt.scheduler.store.sql import jobs as sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.scheduler.store.engines.postgres.lease import Lease

log: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")


class PostgresEngine(Engine):
    """A schema in PostgreSQL.

    A connection that is lost is made again by the next call; what was under way is refused, and
    nothing of it was done. The one exception is a commit whose answer is lost: its call returns as
    soon as a server has said what became of it.

    Args:
        lease: that this scheduler has; released with it.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._session = Session(lease.url)
        self._reader = Session(lease.url, reads=True)
        self._thread = ThreadPoolExecutor(1, "routeq-postgres")
        self._beside = ThreadPoolExecutor(1, "routeq-postgres-reader")
        self._transaction = ""
        self.secrets: Secrets = Secrets(b"", "")

    @classmethod
    async def open(cls, lease: Lease) -> PostgresEngine:
        """Open a database, and make it where it is missing; the lease is released if that fails.

        Raises:
            ConfigurationError: it is of another version, or the server refuses us.
            StoreUnavailable: the server is away.
        """
        one = cls(lease)
        try:
            with one.errors():
                one.secrets = await one._call(one._prepare)
        except psycopg.Error as error:
            await one.close()
            raise ConfigurationError(f"--db={lease.url}: {str(error).strip()}") from error
        except BaseException:
            await one.close()
            raise
        return one

    async def _call(self, action: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, action, *args)
        except asyncio.CancelledError:
            self._session.stop()
            raise

    def _prepare(self) -> Secrets:
        one = self._session.connected()
        with one.transaction():
            [found] = one.execute("SELECT to_regclass('meta')::text").fetchone() or (None,)
            if found is None:
                one.execute(SCRIPT, prepare=False)
                made = {
                    "seq": "0",
                    "secret": randomness.token_bytes(32).hex(),
                    "lineage": randomness.token_hex(8),
                    "epoch": "0",
                    "schema": str(VERSION),
                }
                one.cursor().executemany("INSERT INTO meta VALUES ($1, $2)", list(made.items()))
                log.info("database %s: made", self._lease.url)
            known = one.execute("SELECT value::int FROM meta WHERE key = 'schema'").fetchone()
            if known is None:
                raise ConfigurationError(
                    f"--db={self._lease.url}: the table meta there is not one of a scheduler; "
                    "name another schema with ?schema="
                )
            later = migrations_from(known[0], str(self._lease.url))
            for number, script in enumerate(later, known[0] + 1):
                one.execute(script, prepare=False)
                one.execute("UPDATE meta SET value = $1 WHERE key = 'schema'", (str(number),))
        [(token,)] = self._session.execute(sql.TOKENS)
        [(lineage,)] = self._session.execute(sql_epoch.LINEAGE)
        return Secrets(bytes(token), str(lineage))

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raises `StoreUnavailable` where the server is away, or refuses for now."""
        try:
            yield
        except psycopg.Error as error:
            if not is_away(error):
                raise
            text = str(error).strip()
            raise StoreUnavailable(f"the database cannot be used now: {text}") from error

    # -- transactions --------------------------------------------------------------------------

    def _begin(self) -> None:
        rows = [] if self._lease.is_lost else self._session.begin(self._lease.fence)
        if not rows:
            self._session.undo()
            raise StaleDatabase(
                f"another scheduler has taken over db={self._lease.url}; "
                "nothing more is committed here"
            )
        self._transaction = str(rows[0][0])

    def _work(self, action: Callable[[SyncConnection], T]) -> T:
        self._begin()
        try:
            value = action(self._session)
            self._session.end(self._transaction)
        except BaseException:
            self._session.undo()
            raise
        return value

    async def begin(self) -> None:  # noqa: D102 - as `Engine`
        await self._call(self._begin)

    async def end(self) -> None:  # noqa: D102
        await self._call(self._session.end, self._transaction)

    async def undo(self) -> None:  # noqa: D102
        await asyncio.shield(self._call(self._session.undo))

    async def run(self, statement: str, values: Values) -> int:  # noqa: D102
        return (await self._call(self._session.execute, statement, values)).rowcount

    async def many(self, statement: str, values: Iterable[Values]) -> int:  # noqa: D102
        return (await self._call(self._session.executemany, statement, list(values))).rowcount

    async def read(self, statement: str, values: Values) -> list[Columns]:  # noqa: D102
        def read() -> list[Columns]:
            return self._session.execute(statement, values).fetchall()

        return await self._call(self._session.once_more, read)

    async def write(self, statement: str, values: list[Values]) -> int:  # noqa: D102
        return await self._call(self._work, lambda db: db.executemany(statement, values).rowcount)

    async def work(self, action: Callable[[SyncConnection], T]) -> tuple[T, bool]:  # noqa: D102
        before = self._session.changes
        value: T = await self._call(self._work, action)
        return value, self._session.changes != before

    # -- beside them ---------------------------------------------------------------------------

    async def look(self, action: Callable[[SyncConnection], T]) -> T:  # noqa: D102
        def look() -> T:
            return self._reader.once_more(lambda: action(self._reader))

        return await asyncio.get_running_loop().run_in_executor(self._beside, look)

    @property
    def is_beside(self) -> bool:  # noqa: D102
        return True

    async def checkpoint(self) -> None:
        """Nothing: the server does it."""

    async def close(self) -> None:  # noqa: D102
        self._session.stop()
        await self._call(self._session.close)
        await asyncio.get_running_loop().run_in_executor(self._beside, self._reader.close)
        await self._call(self._lease.release)
        self._thread.shutdown()
        self._beside.shutdown()
