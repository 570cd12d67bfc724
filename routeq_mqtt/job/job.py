"""`Job`: what users write."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, dataclass_transform

from routeq_mqtt.errors import Release
from routeq_mqtt.job import registry
from routeq_mqtt.job.fields import RUNTIME, collect, fill, misfit, own_annotations, signature
from routeq_mqtt.job.middleware import check_all
from routeq_mqtt.job.options import (
    OPTIONS,
    check_option,
    check_progress,
    check_spelling,
    check_waits,
)
from routeq_mqtt.job.plan import default_key, needs_plan
from routeq_mqtt.job.shape import Shape, check_constructor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routeq_mqtt.job.backoff import Exponential
    from routeq_mqtt.job.middleware import Middleware


@dataclass_transform(kw_only_default=True)
class Job:
    """A unit of work that travels over MQTT.

    Annotate its data, and a keyword constructor is made::

        class SendEmail(Job):
            queue = "emails"
            to: str
            subject: str = "Hello"

            async def handle(self) -> None:
                await send(self.to, self.subject)

    Or define ``__init__`` without arguments and set public attributes afterwards. Every subclass is
    registered under its wire name when it is defined; one with ``abstract = True`` in its own body
    is a base for others and is not.

    Class attributes:
        queue: where it goes; default "default".
        max_tries: attempts at most; default 3.
        timeout: seconds that one attempt may take; default 60; 0 or None: no limit.
        retry_after: seconds before the next attempt; default 0.
        backoff: instead of `retry_after`: seconds, a list of seconds (one for each further attempt,
            the last one repeats), or `Exponential`.
        retry_until: seconds after its dispatch; no further attempt begins later. Without a
            `max_tries` of its own, such a class is tried as often as fits; default None.
        max_exceptions: errors at most, whatever `max_tries` says: for jobs that often ask for a
            `Retry`, which is none; default None.
        fail_on_timeout: whether a run that takes longer than `timeout` is the last; default False.
        dont_retry_on: errors that no further attempt would mend; default ().
        result_ttl: seconds for which what `handle` returns is kept for `JobHandle.result`; default
            0: it is not.
        executor: "worker": `handle` runs in the worker, a plain function in a thread of it;
            "process": in a process of its own, for work that computes or may crash: its timeout
            kills the process. Default "worker".
        unique_for: seconds for which no other job with its `unique_key` is taken in; default None.
        unique_until: "finished": or until this one is over, which is the default; "started": or
            until it has begun to run.
        debounce_for: seconds that it waits for another one with its `unique_key`, whose data then
            take the place of its own and wait anew; default None.
        throttle_for: seconds for which no other job with its `unique_key` is taken in, also after
            this one is over; default None.
        rate_limit: (jobs, seconds): so many with its `rate_key` start at once at most, and so many
            more in each so many seconds; default None.
        concurrency_limit: jobs with its `concurrency_key` that run at once, over all workers.
        without_overlapping: the same as ``concurrency_limit = 1``; default False.
        name: the wire name; default: the class's name.
        middleware: coroutine functions around `handle`, outermost first; default none.

    Attributes:
        job_id: its id; None before it was dispatched.
        attempts: which attempt this is, from 1.
        headers: what travels with it.
        batch_id: the batch that it is part of; None: of none.

    Raises:
        ConfigurationError: where a subclass is defined: an option is wrong or misspelt, or a field
            has the name of something that every job has.
        DuplicateJobName: where a subclass is defined: another class has its wire name.
    """

    queue: ClassVar[str] = "default"
    max_tries: ClassVar[int] = 3
    timeout: ClassVar[float | None] = 60
    retry_after: ClassVar[float] = 0
    backoff: ClassVar[float | list[float] | tuple[float, ...] | Exponential | None] = None
    retry_until: ClassVar[float | None] = None
    max_exceptions: ClassVar[int | None] = None
    fail_on_timeout: ClassVar[bool] = False
    dont_retry_on: ClassVar[tuple[type[Exception], ...]] = ()
    result_ttl: ClassVar[float] = 0
    executor: ClassVar[str] = "worker"
    unique_for: ClassVar[float | None] = None
    unique_until: ClassVar[Literal["finished", "started"]] = "finished"
    debounce_for: ClassVar[float | None] = None
    throttle_for: ClassVar[float | None] = None
    rate_limit: ClassVar[tuple[float, float] | None] = None
    concurrency_limit: ClassVar[int | None] = None
    without_overlapping: ClassVar[bool] = False
    name: ClassVar[str] = "Job"
    middleware: ClassVar[Sequence[Middleware]] = ()

    job_id: str | None = None
    attempts: int = 1
    headers: dict[str, Any] | None = None
    batch_id: str | None = None

    _report: Callable[[float, float | None, str], None] | None = None
    _shape: ClassVar[Shape] = Shape({}, by_keyword=False)
    _planned: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**kwargs)
        body = dict(vars(cls))
        _check_options(cls, body)
        fields = collect(cls, cls._shape.fields)
        makes_itself = "__init__" in body
        if makes_itself:
            check_constructor(cls.__name__, body["__init__"])
        elif fields:
            # A class of fields takes them by keyword, also below a base that made itself.
            cls.__init__ = _keyword_init  # type: ignore[method-assign]
            cls.__signature__ = signature(fields)  # type: ignore[attr-defined]
        cls._shape = Shape(fields, by_keyword=bool(fields) and not makes_itself)
        cls._planned = needs_plan(cls)
        if not body.get("abstract", False):
            if "name" not in body:
                cls.name = cls.__name__
            registry.register(cls.name, cls)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - the fields
        if values or self._shape.by_keyword:
            _keyword_init(self, **values)
        else:  # called by a constructor of the older kind: it sets what has no default
            fill(self, self._shape.fields, {})

    def handle(self) -> Any:  # noqa: ANN401 - whatever it returns, awaited or not
        """Do the work: a coroutine function, or a plain one, which then runs in a thread.

        What it returns is kept where the job has a `result_ttl`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define handle()")

    async def failed(self, error: BaseException) -> None:
        """Called once, when no more tries are left. May be a plain function."""

    def release(self, delay: float = 0.0) -> NoReturn:
        """End this run now and run again in `delay` seconds; this one does not count.

        Raises:
            Release: always; let it pass.
        """
        raise Release(delay)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the work is: seen by `JobHandle.status` and on ``routeq/events/<queue>``.

        May be called as often as you like, from threads too: the latest word is told a few times
        a second. Outside of a worker it does nothing.

        Args:
            done: of the work, in whatever unit.
            total: all of the work; default: unknown.
            note: for people; 500 characters of it are told.

        Raises:
            ConfigurationError: one of them is no finite number, or the note is no text.
        """
        check_progress(type(self).__name__, done, total, note)
        if self._report is not None:
            self._report(done, total, note[:_LONGEST_NOTE])

    def unique_key(self) -> str | int:
        """What a job has in common with those that it excludes; default: all of its data."""
        return default_key(self)

    def rate_key(self) -> str | int:
        """What a job shares its `rate_limit` with, of any class; default: its class's name."""
        return type(self).name

    def concurrency_key(self) -> str | int:
        """What a job shares its `concurrency_limit` with, of any class; default: as `rate_key`."""
        return type(self).name

    def data(self) -> dict[str, Any]:
        """What travels as data: the public attributes, without options set on this one job."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in _NO_DATA and not name.startswith("_")
        }

    def __repr__(self) -> str:
        data = ", ".join(f"{name}={value!r}" for name, value in self.data().items())
        return f"{type(self).__name__}({data})"


_LONGEST_NOTE = 500

_NO_DATA = frozenset({*RUNTIME, *OPTIONS})


def is_planned(job_class: type[Job]) -> bool:
    """Whether the scheduler has to admit jobs of a class; what is no job class is not planned."""
    return bool(getattr(job_class, "_planned", False))


def shape_of(job_class: type[Job]) -> Shape:
    """The shape of a job class."""
    return job_class._shape  # noqa: SLF001 - our own class


def set_reporter(job: Job, report: Callable[[float, float | None, str], None]) -> None:
    """What a job's `progress` calls from now on."""
    job._report = report  # noqa: SLF001 - our own class


def _keyword_init(self: Job, *by_place: object, **values: Any) -> None:  # noqa: ANN401 - the fields
    specs = self._shape.fields
    if by_place:
        names = ", ".join(f"{name}=…" for name in specs)
        raise TypeError(f"{type(self).__name__} takes its fields by name: {names}")
    wrong = misfit(specs, values)
    if wrong is not None:
        raise TypeError(f"{type(self).__name__} {wrong}")
    fill(self, specs, values)


def _check_options(job_class: type[Job], body: dict[str, Any]) -> None:
    where = job_class.__name__
    for option in OPTIONS:
        if option in body:
            check_option(where, option, body[option])
    check_waits(where, body)
    check_all(f"{where}: middleware", body.get("middleware", ()))
    annotated = own_annotations(job_class)
    check_spelling(
        where,
        [
            (name, value)
            for name, value in body.items()
            if name not in annotated and not isinstance(value, FunctionType)
        ],
    )
