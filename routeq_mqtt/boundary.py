"""The boundary of users' code: everything that it raises is caught, described and classified here.

Users' code may raise anything: a `BaseException` (a Rust panic through PyO3 is one), an exception
whose `__str__` raises, a group with a `Fail` inside. None of it may end a slot, a task or a process
of this library.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NamedTuple

from routeq_mqtt.errors import Fail, JobControl, Release, Retry
from routeq_mqtt.wire.display import readable, tame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_LONGEST_TEXT = 4_000
_LONGEST_TRACEBACK = 8_000
_FRAMES = 12
"""Frames of each traceback in a chain: the last ones, nearest to the error."""

_OURS = frozenset({"routeq_mqtt", "routeq_mqtt.worker", "routeq_mqtt.worker.execute"})
"""Packages whose frames lead to users' code."""

_MOST_LEAVES = 100
"""Exceptions of a group that are looked at."""

_name_of_class: Callable[[type], str] = type.__dict__["__name__"].__get__
"""Past a metaclass, which could say anything."""


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


def text_of(error: BaseException) -> str:
    """The message of an exception; of a group, those of the exceptions in it, too."""
    if not isinstance(error, BaseExceptionGroup):
        return _text(error)
    inner = "; ".join(f"{_kind(leaf)}: {_text(leaf)}" for leaf in leaves(error))
    return f"{_text(error)}: {inner}"[:_LONGEST_TEXT]


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions of a group, however nested, 100 at most; a plain one gives itself."""
    pending, left = [error], _MOST_LEAVES
    while pending and left:
        one = pending.pop()
        if isinstance(one, BaseExceptionGroup):
            pending.extend(reversed(one.exceptions))
        else:
            left -= 1
            yield one


def control_in(error: BaseException) -> JobControl | None:
    """What an exception asks for, alone or in a group, such as that of an `asyncio.TaskGroup`.

    A `Fail` counts before anything else, then a `Retry`. A `Release` counts only where there is
    nothing else in the group: a run that also had an error is an attempt.
    """
    if isinstance(error, JobControl):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    found = list(leaves(error))
    for kind in (Fail, Retry):
        for leaf in found:
            if isinstance(leaf, kind):
                return leaf
    if found and all(isinstance(leaf, Release) for leaf in found):
        return max((leaf for leaf in found if isinstance(leaf, Release)), key=lambda one: one.delay)
    return None


def is_any_of(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an exception, or one of a group, is of some classes."""
    if not kinds:
        return False
    try:
        return isinstance(error, kinds) or any(isinstance(leaf, kinds) for leaf in leaves(error))
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
        where = _without_ours(error.__traceback__)
        lines = traceback.format_exception(type(error), error, where, limit=-_FRAMES)
    except BaseException as raised:  # noqa: BLE001 - the user's __str__, __notes__, __cause__
        return f"{_kind(error)}: <its traceback cannot be printed: {_kind(raised)}>"
    return readable("".join(lines)[-_LONGEST_TRACEBACK:])


def _without_ours(where: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame of users' code on, where there is one."""
    users = where
    while users is not None and users.tb_frame.f_globals.get("__package__", "") in _OURS:
        users = users.tb_next
    return users or where
