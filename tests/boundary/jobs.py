"""Jobs that raise everything, everywhere that users' code is called."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from routeq_mqtt import Exponential, Fail, Job, JobEvent, Release, Retry, on
from routeq_mqtt.jobs.middleware import Handler
from tests.cluster.jobs import BlocksTheLoop, tell


class Panic(BaseException):
    """As PyO3 raises a Rust panic."""


class BadStr(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class BadRepr(Exception):
    def __repr__(self) -> str:
        raise ValueError("no repr")


class WorseStr(Exception):
    def __str__(self) -> str:
        raise Panic

    __repr__ = __str__


class NotText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class Unmakeable(Exception):
    def __new__(cls, *args: object) -> Unmakeable:
        if not args:
            raise Panic
        return super().__new__(cls, *args)


def _panic(self: object) -> Any:
    raise Panic


_panics: Any = property(_panic)


class NoClass(Exception):
    __class__ = _panics


class SaysGroup(Exception):
    """What `isinstance` takes for a group, and has no exceptions."""

    __class__ = property(lambda self: BaseExceptionGroup)


class SaysRelease(Exception):
    __class__ = property(lambda self: Release)


class SaysCancelled(Exception):
    __class__ = property(lambda self: asyncio.CancelledError)


class NoAttribute(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise Panic


class NoMembers(ExceptionGroup[Exception]):
    exceptions = message = _panics


class NeverEnds(ExceptionGroup[Exception]):
    exceptions = property(lambda self: (self,))


class Never(Retry):
    """Asks for a delay that no job can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.delay = float("nan")


class NoDelay(Release):
    delay = property(_panic, lambda self, value: None)


class _NoName(type):
    __module__ = _panics


class NoModule(Exception, metaclass=_NoName): ...


def _nested(error: BaseException, deep: int) -> BaseException:
    for _ in range(deep):
        error = BaseExceptionGroup("nested", [error])
    return error


def _bushy(deep: int) -> BaseException:
    """A group of 30 groups of 30, and so on."""
    return BaseExceptionGroup("bushy", [_bushy(deep - 1)] * 30) if deep else ValueError("x" * 99)


def _deep() -> BaseException:
    try:
        return _deep()
    except RecursionError as error:
        return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("never works"),
    "Panic": lambda: Panic("index out of bounds"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": lambda: StopIteration("over"),
    "StopAsyncIteration": lambda: StopAsyncIteration("over"),
    "BadStr": BadStr,
    "BadRepr": BadRepr,
    "WorseStr": WorseStr,
    "NotText": NotText,
    "Unmakeable": lambda: Unmakeable("x"),
    "MemoryError": MemoryError,
    "RecursionError": _deep,
    "UnicodeError": lambda: UnicodeError("\ud800 and \x1b[2J"),
    "LookupError": lambda: LookupError("x" * 1_000_000),
    "ExceptionGroup": lambda: ExceptionGroup("two", [ValueError("one"), BadStr()]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("some", [Panic(), WorseStr()]),
    "Retry": lambda: Retry("not yet", delay=0),
    "Fail": lambda: Fail("on purpose"),
    "Fail in a group": lambda: BaseExceptionGroup(
        "outer", [ValueError("one"), BaseExceptionGroup("inner", [Fail("on purpose")])]
    ),
    "FileNotFoundError": lambda: ExceptionGroup("group", [FileNotFoundError("not to be retried")]),
    "TimeoutError": lambda: TimeoutError("of a socket"),
    "NoClass": NoClass,
    "SaysGroup": SaysGroup,
    "SaysRelease": SaysRelease,
    "SaysCancelled": SaysCancelled,
    "NoAttribute": NoAttribute,
    "NoMembers": lambda: NoMembers("none", [ValueError("x")]),
    "NeverEnds": lambda: NeverEnds("none", [ValueError("x")]),
    "Never": Never,
    "NoDelay": NoDelay,
    "NoModule": NoModule,
    "BaseExceptionGroup of depth": lambda: _nested(Panic(), 3_000),
    "Fail at depth": lambda: _nested(Fail("on purpose"), 3_000),
    "Fail among many": lambda: BaseExceptionGroup(
        "many", [*(ValueError(str(number)) for number in range(500)), Fail("on purpose")]
    ),
    "ExceptionGroup of many": lambda: _bushy(8),
}


class _Raises(Job):
    abstract = True
    max_tries = 2
    dont_retry_on = (FileNotFoundError,)
    what: str

    def now(self) -> None:
        raise ERRORS[self.what]()


class Async(_Raises):
    async def handle(self) -> None:
        self.now()


class Later(_Raises):
    async def handle(self) -> None:
        await asyncio.sleep(0.001)
        self.now()


class Future(_Raises):
    """It comes out of something that the job awaits."""

    async def handle(self) -> None:
        future = asyncio.get_running_loop().create_future()
        error = ERRORS[self.what]()
        if isinstance(error, StopIteration):
            raise error
        asyncio.get_running_loop().call_soon(future.set_exception, error)
        await future


class Thread(_Raises):
    def handle(self) -> None:
        self.now()


class Coroutine(_Raises):
    """A plain function that returns a coroutine."""

    def handle(self) -> Any:
        async def later() -> None:
            self.now()

        return later()


class Process(_Raises):
    executor = "process"

    def handle(self) -> None:
        self.now()


class ProcessAsync(_Raises):
    executor = "process"

    async def handle(self) -> None:
        await asyncio.sleep(0)
        self.now()


async def _before(job: Job, call_next: Handler) -> object:
    raise ERRORS[vars(job)["what"]]()


async def _after(job: Job, call_next: Handler) -> object:
    await call_next(job)
    raise ERRORS[vars(job)["what"]]()


class Before(_Raises):
    middleware = [_before]

    async def handle(self) -> None:
        raise AssertionError("the middleware does not go on")


class After(_Raises):
    middleware = [_after]

    async def handle(self) -> None: ...


def _no_share() -> float:
    return _raise_in_turn()


class Jitter(_Raises):
    """Its retry policy raises when it is asked how long to wait; the error of `handle` counts."""

    backoff = Exponential(base=0, random=_no_share)

    async def handle(self) -> None:
        self.now()


class _Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return _raise_in_turn() > 0


class Unfriendly(Exception, metaclass=_Meta):
    """Whether an error is one of these, it does not say."""


class Compared(_Raises):
    dont_retry_on = (Unfriendly,)  # type: ignore[assignment]

    async def handle(self) -> None:
        self.now()


_turns = 0


def _raise_in_turn() -> float:
    global _turns  # noqa: PLW0603 - each call raises another one
    _turns += 1
    raise list(ERRORS.values())[_turns % len(ERRORS)]()


class Maker(Job):
    """Of the older kind: its constructor raises as soon as its name is known."""

    def __init__(self) -> None:
        super().__init__()
        self.what = ""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "what" and value:
            raise ERRORS[value]()

    async def handle(self) -> None: ...


class Keyed(_Raises):
    """A device sends it: the worker asks for its key."""

    unique_for = 60

    def unique_key(self) -> str:
        self.now()
        return "x"

    async def handle(self) -> None: ...


class Failed(Job):
    """`failed()` raises; the record has the error of `handle`."""

    max_tries = 1
    what: str

    async def handle(self) -> None:
        raise ValueError("of handle")

    async def failed(self, error: BaseException) -> None:
        raise ERRORS[self.what]()


class FailedThread(Failed):
    def failed(self, error: BaseException) -> None:  # type: ignore[override]
        raise ERRORS[self.what]()


class _Value(dict[str, object]):
    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def keys(self) -> Any:
        raise ERRORS[self._what]()

    __iter__ = items = keys


class Result(Job):
    """What it returns raises when it is packed."""

    max_tries = 1
    result_ttl = 60
    what: str

    async def handle(self) -> object:
        return _Value(self.what)


class Hooked(Job):
    """Hooks raise at every event; the job is done."""

    what: str

    async def handle(self) -> None:
        await tell("ran", self, key=self.what)


def raises(event: JobEvent) -> None:
    if event.job == "Hooked":
        _raise_in_turn()


if "pytest" not in sys.modules:  # a test puts it in, and takes it away again
    on("started", "done")(raises)


class CancelsItself(Job):
    """Leaves a cancellation behind that its slot must not die of."""

    max_tries = 10  # a late cancellation may hit another job in the same slot
    key: str

    async def handle(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self.key == "late":
            asyncio.get_running_loop().call_later(0.05, task.cancel)
        else:
            task.cancel()
        await tell("ran", self, key=self.key)


class Releases(Job):
    """The first run is no attempt, though it is asked for in a group; beside an error it is one."""

    beside: bool = False

    async def handle(self) -> None:
        await tell("tried", self, beside=self.beside)
        if len(_seen := _releases.setdefault(str(self.job_id), [])) == 0:
            _seen.append(1)
            others: list[BaseException] = [ValueError("too")] if self.beside else []
            raise BaseExceptionGroup("group", [Release(0), *others])
        await tell("ran", self, key=f"beside={self.beside}")


_releases: dict[str, list[int]] = {}

__all__ = ["BlocksTheLoop"]

PLACES: tuple[type[Job], ...] = (
    Async, Later, Future, Thread, Coroutine, Process, ProcessAsync, Before, After, Jitter, Compared
)  # fmt: skip
"""Those in which an exception counts as raised by `handle`."""


LET_GO: list[bool] = []
"""A test that runs jobs in its own event loop fills it, to get that loop closed."""


class Ignores(Job):
    """Ignores every cancellation, as a loop around ``except BaseException`` does."""

    timeout = 0.05
    max_tries = 1
    key: str

    async def handle(self) -> None:
        await tell("tried", self, key=self.key)
        while not LET_GO:
            try:
                await asyncio.Event().wait()
            except BaseException:  # noqa: BLE001, S112 - what nobody should do
                continue


class IgnoresForLong(Ignores):
    timeout = 600


class Generates(Job):
    """A plain function that only hands a generator on: nothing of it has run."""

    max_tries = 1

    def handle(self) -> Any:
        return (number for number in range(3))


class GeneratesInAProcess(Generates):
    executor = "process"
