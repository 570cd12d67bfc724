"""One connection to PostgreSQL, used from one thread: it looks to the stores like SQLite's.

psycopg has its home in this folder. It fits the stores better than an asynchronous driver: what
they do in a transaction is functions that run in a thread, statement by statement.
"""

from __future__ import annotations

import contextlib
import logging
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict

from routeq_mqtt.scheduler.store.engines.postgres.dialect import of_columns, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from routeq_mqtt.scheduler.store.engines.engine import Cursor
    from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl

log: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_DEFAULTS = {
    "application_name": "routeq-mqtt",
    "connect_timeout": "3",
    "target_session_attrs": "read-write",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "4000",
}
"""libpq's options, unless the url says otherwise: a server that is gone is noticed in seconds."""

_IDLE = 1_500
"""Milliseconds for which a transaction may do nothing: a process that is frozen holds no lock for
longer."""

_AGAIN = 0.2


class _Plain(Dumper):
    """A number without a type: the server takes that of the column, as it does for a literal."""

    oid = 0

    def dump(self, obj: Any) -> bytes:  # noqa: ANN401
        return repr(obj).encode()


class _Real(_Plain):
    """One that may have a fraction, also where it is compared with whole numbers."""

    oid = psycopg.adapters.types["float8"].oid


class _Truth(_Plain):
    def dump(self, obj: Any) -> bytes:  # noqa: ANN401
        return b"t" if obj else b"f"


class _Text(_Plain):
    """Text without a type. PostgreSQL keeps no NUL: it becomes its picture, in JSON, too."""

    def dump(self, obj: Any) -> bytes:  # noqa: ANN401
        text: str = obj
        if "\0" in text or "\\u0000" in text:
            text = text.replace("\0", "\u2400").replace("\\u0000", "\\u2400")
        return text.encode()


class _Number(Loader):
    """The sum of whole numbers is one."""

    def load(self, data: Any) -> int | float:  # noqa: ANN401
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


def is_away(error: BaseException) -> bool:
    """Whether another try, later or on another connection, may go well."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return True
    state = getattr(error, "sqlstate", None) or ""
    return state in {"25006", "25P03"} or state.startswith("57P")


class NotCommitted(psycopg.OperationalError):
    """A transaction whose commit was cut off was rolled back."""


class Session:
    """A connection that is made again when it is lost.

    Args:
        url: of the database.
        reads: only reads.
    """

    def __init__(self, url: PostgresUrl, *, reads: bool = False) -> None:
        self._url = url
        self._reads = reads
        self._connection: psycopg.Connection[Any] | None = None
        self._stopped = Event()
        self._is_within = False
        self.changes: int = 0

    def close(self) -> None:
        """Close it, from its own thread."""
        self._is_within = False
        self._drop()

    def stop(self) -> None:
        """Wait no more for what became of a commit; from any thread."""
        self._stopped.set()

    def connected(self) -> psycopg.Connection[Any]:
        """The connection; made where there is none."""
        one = self._connection
        if one is None or one.closed:
            if self._is_within:  # what follows must not be done by itself
                raise psycopg.OperationalError("the connection was lost in a transaction")
            one = self._connection = connect(self._url, reads=self._reads)
        return one

    def _drop(self) -> None:
        one, self._connection = self._connection, None
        if one is not None:
            with contextlib.suppress(psycopg.Error):
                one.close()

    # -- as SQLite's connection ----------------------------------------------------------------

    def execute(self, statement: str, values: Any = (), /) -> Cursor:  # noqa: ANN401
        """One statement."""
        found = self.connected().execute(translated(statement), values or None)
        if found.description is None:
            self.changes += max(found.rowcount, 0)
        return found

    def executemany(self, statement: str, values: Iterable[Any], /) -> Cursor:
        """One statement for many values; in one message where there is a form for that."""
        many = values if isinstance(values, list) else list(values)
        if len(many) == 1:
            return self.execute(statement, many[0])
        cursor = self.connected().cursor()
        if not many:
            return _Nothing()
        columns = of_columns(statement)
        if columns is not None:
            cursor.execute(columns, [_column(column) for column in zip(*many, strict=True)])
        else:
            cursor.executemany(translated(statement), many)
        self.changes += max(cursor.rowcount, 0)
        return cursor

    # -- transactions --------------------------------------------------------------------------

    def once_more(self, action: Callable[[], T]) -> T:
        """Call a function, and again if the connection turns out to be lost before it."""
        if self._is_within:
            return action()
        try:
            return action()
        except psycopg.Error as error:
            if not is_away(error) or not self._is_lost():
                raise
        self._drop()
        return action()

    def _is_lost(self) -> bool:
        return self._connection is None or bool(self._connection.closed)

    def begin(self, fence: str) -> list[Any]:
        """Begin a transaction; the rows of a statement that is sent with it."""

        def begun() -> list[Any]:
            one = self.connected()
            cursor = one.execute(f"BEGIN; {fence}", prepare=False)
            cursor.nextset()
            return cursor.fetchall()

        if self._is_within:  # whoever began was cancelled before it knew
            self.undo()
        self._stopped.clear()
        rows = self.once_more(begun)
        self._is_within = True
        return rows

    def end(self, transaction: str) -> None:
        """Commit; where the answer is lost, find out what became of it.

        Raises:
            NotCommitted: it was rolled back.
            psycopg.Error: it was refused.
        """
        one = self.connected()
        self._is_within = False
        try:
            said = one.execute("COMMIT", prepare=False).statusmessage
        except psycopg.Error as error:
            if not (is_away(error) and self._is_lost()):
                raise
            self._settle(transaction)
            return
        if said != "COMMIT":
            raise NotCommitted(f"the transaction ended with {said}")

    def undo(self) -> None:
        """Roll back."""
        one, self._is_within = self._connection, False
        if one is None:
            return
        try:
            one.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self._drop()

    def _settle(self, transaction: str) -> None:
        """Ask the server, as soon as there is one, what became of a transaction.

        It may take as long as the server is away: the caller may neither take it for done
        nor do it again.
        """
        log.error(
            "the database cannot be used now, and the answer to a commit is lost: "
            "asked for until it is back db=%s", self._url,
        )  # fmt: skip
        while not self._stopped.is_set():
            self._drop()
            try:
                row = (
                    self.connected()
                    .execute("SELECT pg_xact_status($1::xid8)", (transaction,))
                    .fetchone()
                )
            except psycopg.errors.InvalidParameterValue:
                row = ("aborted",)  # of the future: this server has not seen it
            except psycopg.Error:
                self._stopped.wait(_AGAIN)
                continue
            if row and row[0] == "committed":
                return
            if row and row[0] == "aborted":
                break
            self._stopped.wait(_AGAIN)
        raise NotCommitted("the connection was lost before the commit, nothing was changed")


def _column(values: tuple[Any, ...]) -> list[Any]:
    """Moments may be whole numbers or not: a list has one type."""
    if float in (kinds := set(map(type, values))) and int in kinds:
        return [None if one is None else float(one) for one in values]
    return list(values)


class _Nothing:
    rowcount = 0

    def fetchone(self) -> None:
        return None

    def fetchall(self) -> list[Any]:
        return []

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def connect(url: PostgresUrl, *, reads: bool = False) -> psycopg.Connection[Any]:
    """A connection in autocommit, in the schema of the url.

    Raises:
        psycopg.Error: there is no server, or it refuses us.
    """
    options: dict[str, Any] = _DEFAULTS | conninfo_to_dict(url.conninfo)
    one: psycopg.Connection[Any] = psycopg.Connection.connect(
        **options, autocommit=True, prepare_threshold=0, cursor_factory=psycopg.RawCursor
    )
    one.prepared_max = 1_000
    for kind, dumper in ((int, _Plain), (float, _Real), (bool, _Truth), (str, _Text)):
        one.adapters.register_dumper(kind, dumper)
    one.adapters.register_loader("numeric", _Number)
    try:
        one.execute(
            f'SET search_path TO "{url.schema}"; '
            f"SET idle_in_transaction_session_timeout = {_IDLE}; "
            "SET client_min_messages = warning; "
            # A commit that is answered is safe, whatever the server's default is.
            "SELECT set_config('synchronous_commit', 'on', FALSE) "
            "WHERE current_setting('synchronous_commit') = 'off'"
            + ("; SET default_transaction_read_only = on" if reads else ""),
            prepare=False,
        )
    except BaseException:
        one.close()
        raise
    return one
