"""The boundary of users' code: everything that it raises is caught, described and classified here.

Users' code may raise anything: a `BaseException` (a Rust panic through PyO3 is one), an exception
whose `__str__` raises, a group with a `Fail` inside. None of it may end a slot, a task or a process
of this library. What an exception is, only its type says: `isinstance` asks its `__class__`, which
may raise, or lie.
"""

from __future__ import annotations

import traceback
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeGuard, TypeVar

from routeq_mqtt.errors import Fail, JobControl, Release, Retry
from routeq_mqtt.wire.display import readable, tame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_E = TypeVar("_E", bound=BaseException)

_LONGEST_TEXT = 4_000
_LONGEST_TRACEBACK = 8_000
_FRAMES = 12
"""Frames of each traceback in a chain: the last ones, nearest to the error."""

_OURS = frozenset({"routeq_mqtt", "routeq_mqtt.worker", "routeq_mqtt.worker.execute"})
"""Packages whose frames lead to users' code."""

_MOST_LEAVES = 100
"""Exceptions of a group whose messages are shown."""

_MOST_ASKED = 10_000
"""Exceptions of a group that are asked whether they steer the job."""

_MOST_PRINTED = 50
"""Exceptions that hang on one, as members, causes and contexts, for Python to print it."""

_MOST_SHOWN = 15
"""Exceptions in the traceback of a larger group."""

_HANGS_ON = ("exceptions", "__cause__", "__context__", "__traceback__")
_GROUP = BaseExceptionGroup

# Past what a class or its metaclass makes of them.
_name_of_class: Callable[[type], str] = type.__dict__["__name__"].__get__
_members: Callable[[BaseException], tuple[BaseException, ...]] = BaseExceptionGroup.__dict__[
    "exceptions"
].__get__
_message: Callable[[BaseException], object] = BaseExceptionGroup.__dict__["message"].__get__
_cause: Callable[[BaseException], BaseException | None] = BaseException.__dict__[
    "__cause__"
].__get__
_context: Callable[[BaseException], BaseException | None] = BaseException.__dict__[
    "__context__"
].__get__
_where: Callable[[BaseException], TracebackType | None] = BaseException.__dict__[
    "__traceback__"
].__get__


class Described(NamedTuple):
    """An exception as plain text, made once.

    Attributes:
        kind: the name of its class.
        text: its message, at most 4,000 characters.
        traceback: the last frames of it and of its causes, at most 8,000 characters.
    """

    kind: str
    text: str
    traceback: str

    @property
    def line(self) -> str:
        """Class and message."""
        return f"{self.kind}: {self.text}"

    @property
    def for_log(self) -> str:
        """The traceback with control characters written out: a log is read in a terminal."""
        return tame(self.traceback.rstrip())


def described(error: BaseException) -> Described:
    """Describe an exception. Raises nothing, whatever the exception's own methods do."""
    return Described(_kind(error), text_of(error), _traceback(error))


def one_line(text: str) -> str:
    """A text as one line of a log: at most 1,000 characters, control characters written out."""
    return tame(text[:1_000]).replace("\n", "\\n")


def is_a(error: BaseException, kind: type[_E] | tuple[type[_E], ...]) -> TypeGuard[_E]:
    """Whether an exception is of a class. Raises nothing, whatever the exception says of itself."""
    return issubclass(type(error), kind)


def text_of(error: BaseException) -> str:
    """The message of an exception; of a group, those of the exceptions in it, too."""
    if not is_a(error, BaseExceptionGroup):
        return _text(error)
    inner = "; ".join(f"{_kind(leaf)}: {_text(leaf)}" for leaf in leaves(error))
    return f"{_text(error)}: {inner}"[:_LONGEST_TEXT]


def leaves(error: BaseException, most: int = _MOST_LEAVES) -> Iterator[BaseException]:
    """The exceptions of a group, however nested, at most `most`; a plain one gives itself."""
    pending, left = [error], most
    while pending and left:
        one = pending.pop()
        if is_a(one, BaseExceptionGroup):
            pending.extend(reversed(_members(one)))
        else:
            left -= 1
            yield one


def control_in(error: BaseException) -> JobControl | None:
    """What an exception asks for, alone or in a group, such as that of an `asyncio.TaskGroup`.

    A `Fail` counts before anything else, then a `Retry`. A `Release` counts only where there is
    nothing else in the group: a run that also had an error is an attempt. One that asks for an
    impossible delay (a subclass may) is an error like any other.
    """
    if not is_a(error, (JobControl, BaseExceptionGroup)):
        return None
    found = list(leaves(error, _MOST_ASKED))
    for kind in (Fail, Retry):
        for leaf in found:
            if is_a(leaf, kind) and (kind is Fail or _has_delay(leaf, or_none=True)):
                return leaf
    released = [leaf for leaf in found if is_a(leaf, Release) and _has_delay(leaf)]
    if len(released) < len(found):
        return None
    return max(released, key=lambda one: one.delay)


def _has_delay(control: BaseException, *, or_none: bool = False) -> bool:
    try:
        delay = control.delay  # type: ignore[attr-defined]
        if not (delay is None and or_none):
            Release(delay)  # checks it
    except BaseException:  # noqa: BLE001 - a property of the user's
        return False
    return True


def is_any_of(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an exception, or one of a group, is of some classes."""
    if not kinds:
        return False
    try:
        return isinstance(error, kinds) or any(
            isinstance(leaf, kinds) for leaf in leaves(error, _MOST_ASKED)
        )
    except BaseException:  # noqa: BLE001 - a metaclass of the user's
        return False


def _kind(error: BaseException) -> str:
    return readable(_name_of_class(type(error)))[:200]


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as raised:  # noqa: BLE001 - the user's __str__
        return f"<its __str__ raised {_kind(raised)}>"
    return readable(str.__str__(text)[:_LONGEST_TEXT])


def _traceback(error: BaseException) -> str:
    try:
        if _is_plain(error):
            where = _without_ours(_where(error))
            lines = traceback.format_exception(type(error), error, where, limit=-_FRAMES)
        else:
            lines = [*_lines(error)]
    except BaseException as raised:  # noqa: BLE001 - the user's __str__, __notes__, __getattribute__
        return f"{_kind(error)}: <its traceback cannot be printed: {_kind(raised)}>"
    return readable("".join(lines)[-_LONGEST_TRACEBACK:])


def _is_plain(error: BaseException) -> bool:
    """Whether Python may print an exception: it looks at all that hangs on it, however much."""
    pending, looked, seen = [error], 0, {id(error)}
    while pending:
        one = pending.pop()
        looked += 1
        if looked > _MOST_PRINTED or _says_what_it_has(type(one)):  # type: ignore[arg-type]
            return False
        if is_a(one, _GROUP):  # each of them is printed, however often it is there
            pending.extend(_members(one)[:_MOST_PRINTED])
        for other in (_cause(one), _context(one)):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                pending.append(other)
    return True


@lru_cache(maxsize=1024)
def _says_what_it_has(kind: type[BaseException]) -> bool:
    """Whether a class has something of its own in place of what hangs on an exception."""
    own = [base for base in kind.__mro__ if base not in {BaseException, BaseExceptionGroup}]
    return any(name in vars(base) for base in own for name in _HANGS_ON)


def _lines(error: BaseException) -> Iterator[str]:
    """The traceback of the exception alone, or of the first ones in its group."""
    for one in (error, *(islice(leaves(error), _MOST_SHOWN) if is_a(error, _GROUP) else ())):
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(_without_ours(_where(one)), limit=-_FRAMES)
        yield f"{_kind(one)}: {message_of(one) if is_a(one, _GROUP) else _text(one)}\n"


def message_of(group: BaseException) -> str:
    """The message of a group alone."""
    message = _message(group)
    return readable(str.__str__(message)[:1_000]) if isinstance(message, str) else ""


def _without_ours(where: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame of users' code on, where there is one."""
    users = where
    while users is not None and users.tb_frame.f_globals.get("__package__", "") in _OURS:
        users = users.tb_next
    return users or where
