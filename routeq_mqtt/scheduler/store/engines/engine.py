"""What a kind of database is to the stores: how it runs statements, and what its errors are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

T = TypeVar("T")

Values = Sequence[Any]
Columns = Sequence[Any]
"""A row as it is read."""


class Cursor(Protocol):
    """What one statement found or changed."""

    @property
    def rowcount(self) -> int:
        """Rows that it changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - columns, or None
        """The next row; None: there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class SyncConnection(Protocol):
    """A connection in the thread that it belongs to; in a transaction, unless it only reads."""

    def execute(self, statement: str, values: Any = (), /) -> Cursor:  # noqa: ANN401 - a sequence
        """One statement."""
        ...

    def executemany(self, statement: str, values: Iterable[Any], /) -> Cursor:
        """One statement for many values."""
        ...


class Held(Protocol):
    """The lock of a database that we have."""

    def release(self) -> None:
        """Let others have it."""
        ...


class Secrets(NamedTuple):
    """What a database was given when it was made.

    Attributes:
        tokens: the secret of its tokens.
        lineage: what it has in common with its copies only.
    """

    tokens: bytes
    lineage: str


class Engine(Protocol):
    """A database of one kind. One call at a time, but for `look` and `checkpoint`.

    Statements are written for SQLite; another kind translates them.
    """

    secrets: Secrets

    def errors(self) -> AbstractContextManager[None]:
        """Raises `StoreUnavailable` for errors that are over at another try."""
        ...

    async def begin(self) -> None:
        """Begin a transaction; `end` follows, or `undo`."""
        ...

    async def end(self) -> None:
        """Commit; what was written is safe when this returns."""
        ...

    async def undo(self) -> None:
        """Roll back; a database that cannot even do that has done it, or will."""
        ...

    async def run(self, statement: str, values: Values) -> int:
        """One statement; how many rows it changed."""
        ...

    async def many(self, statement: str, values: Iterable[Values]) -> int:
        """One statement for many values; how many rows it changed."""
        ...

    async def read(self, statement: str, values: Values) -> list[Columns]:
        """Rows of a query, in a transaction or not."""
        ...

    async def write(self, statement: str, values: list[Values]) -> int:
        """A transaction of one statement for many values; how many rows it changed."""
        ...

    async def work(self, action: Callable[[SyncConnection], T]) -> tuple[T, bool]:
        """A transaction that a function does in the thread; and whether it changed anything."""
        ...

    async def look(self, action: Callable[[SyncConnection], T]) -> T:
        """Call a function that only reads, beside the transactions if `is_beside`."""
        ...

    @property
    def is_beside(self) -> bool:
        """Whether `look` needs no turn."""
        ...

    async def checkpoint(self) -> None:
        """Keep a log short that would grow, while transactions go on."""
        ...

    async def close(self) -> None:
        """Close it, and let others have it."""
        ...
