"""`Job`: what users write."""

from __future__ import annotations

from dataclasses import Field, field
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Self,
    Unpack,
    dataclass_transform,
)

from routeq_mqtt.errors import ConfigurationError, Release
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.admission_options import default_key, needs_plan
from routeq_mqtt.jobs.calls.depends import injected
from routeq_mqtt.jobs.fields import (
    RUNTIME,
    collect,
    fill,
    is_class_variable,
    misfit,
    own_annotations,
    signature,
)
from routeq_mqtt.jobs.keywords import CHOSEN, check_own, name_of, set_keywords, take_keywords
from routeq_mqtt.jobs.middleware import check_all
from routeq_mqtt.jobs.options import (
    OPTIONS,
    ClassOptions,
    OneJobOptions,
    Overrides,
    check_option,
    check_progress,
    check_spelling,
    check_waits,
)
from routeq_mqtt.jobs.schema import Shape, check_constructor
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from inspect import Signature

    from routeq_mqtt.jobs.middleware import Middleware


@dataclass_transform(kw_only_default=True, field_specifiers=(field, Field))
class Job:
    """A unit of work that travels over MQTT.

    Annotate its data, and a keyword constructor is made::

        class SendEmail(Job, queue="emails"):
            to: str
            subject: str = "Hello"

            async def handle(self) -> None:
                await send(self.to, self.subject)

    Or define ``__init__`` without arguments and set public attributes afterwards. Every subclass is
    registered under its wire name when it is defined; one with ``abstract = True`` in its own body
    is a base for others and is not.

    Options are class keywords, ``class SendEmail(Job, queue="emails", max_tries=5)``, or class
    attributes without an annotation, ``queue = "emails"``. Where a field has the name of an option
    (``queue: str``), the option is a class keyword.

    Options:
        queue: where it goes; default "default".
        max_tries: attempts at most; default 3.
        timeout: seconds that one attempt may take; default 60; 0 or None: no limit.
        retry_after: seconds before the next attempt; default 0.
        backoff: instead of `retry_after`: seconds, a list of seconds (one for each further attempt,
            the last one repeats), or `Exponential`.
        retry_until: seconds after its dispatch; no further attempt begins later. Without a
            `max_tries` of its own, such a class is tried as often as fits; default None.
        max_exceptions: errors at most, whatever `max_tries` says: for jobs that often ask for a
            `Retry`, which does not count; default None.
        fail_on_timeout: whether a run that takes longer than `timeout` is the last; default False.
        dont_retry_on: errors after which a retry is pointless; default ().
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
        rate_limit: (count, seconds): token bucket. At most `count` jobs with the same `rate_key`
            start per `seconds`; bursts up to `count`; default None.
        concurrency_limit: jobs with its `concurrency_key` that run at once, over all workers.
        without_overlapping: the same as ``concurrency_limit = 1``; default False.
        across_queues: its `unique_key`, `rate_key` and `concurrency_key` count on all queues, not
            on its own alone; default False.
        overrides: how far one job's own options may go beyond those of the class; default
            ``Overrides()``; None: they are ignored.
        name: the wire name; default: the class's name.
        middleware: coroutine functions around `handle`, outermost first; default none.

    Attributes:
        job_id: its id; None before it was dispatched.
        attempts: which attempt this is, from 1.
        headers: what travels with it.
        batch_id: the batch that it is part of; None: of none.

    Raises:
        ConfigurationError: where a subclass is defined: an option is wrong or misspelt, a field
            has the name of something that every job has, or it has no `handle`.
        DuplicateJobName: where a subclass is defined: another class has its wire name.
    """

    # A field may have the name of these: to type checkers they may be anything.
    queue: Any = "default"
    name: Any = "Job"
    timeout: Any = 60
    backoff: Any = None
    executor: Any = "worker"
    overrides: Any = Overrides()

    max_tries: int = 3
    retry_after: float = 0
    retry_until: float | None = None
    max_exceptions: int | None = None
    fail_on_timeout: bool = False
    dont_retry_on: tuple[type[Exception], ...] = ()
    result_ttl: float = 0
    unique_for: float | None = None
    unique_until: Literal["finished", "started"] = "finished"
    debounce_for: float | None = None
    throttle_for: float | None = None
    rate_limit: tuple[float, float] | None = None
    concurrency_limit: int | None = None
    without_overlapping: bool = False
    across_queues: bool = False
    middleware: ClassVar[Sequence[Middleware]] = ()

    job_id: str | None = None
    attempts: int = 1
    headers: dict[str, Any] | None = None
    batch_id: str | None = None

    _report: Callable[[float, float | None, str], None] | None = None
    _shape: ClassVar[Shape] = Shape({}, by_keyword=False)
    _planned: ClassVar[bool] = False
    _job_kept: ClassVar[Mapping[str, Any]] = {}
    """Options whose names are those of fields: what the class says of them."""
    _job_said: ClassVar[type[Job]]
    """What options are read from: the class itself, or `_job_kept` in front of it."""
    _job_hidden: ClassVar[frozenset[str]]
    """Attributes of a job that are not its data."""
    _job_own: ClassVar[frozenset[str]]
    """Attributes of a job that are options of its own."""

    if TYPE_CHECKING:
        __signature__: ClassVar[Signature]

        def __init_subclass__(cls, **options: Unpack[ClassOptions]) -> None:
            """Take options as class keywords."""

    else:

        def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401 - as above
            """Take options as class keywords; others are those of the other bases."""
            keywords = take_keywords(cls, options)
            super().__init_subclass__(**options)
            cls._job_defined(keywords)

    @classmethod
    def _job_defined(cls, keywords: Mapping[str, Any]) -> None:
        if isinstance(vars(cls).get("handle"), FunctionType):
            cls.handle = injected(vars(cls)["handle"])  # type: ignore[method-assign]
        body = dict(vars(cls))
        _check_options(cls, body, keywords)
        cls._shape = cls._job_shape(body, keywords)
        cls._planned = needs_plan(cls)
        if not vars(cls).get("abstract", False):
            if cls.handle is Job.handle:
                raise ConfigurationError(
                    f"{cls.__name__} has no handle(): define `async def handle(self)`, or set "
                    "`abstract = True` where it is only a base of other job classes"
                )
            registry.register(cls._job_said.name, cls)

    @classmethod
    def _job_shape(cls, body: Mapping[str, Any], keywords: Mapping[str, Any]) -> Shape:
        fields = collect(cls, cls._shape.fields, keywords)
        set_keywords(cls, keywords, fields)
        makes_itself = "__init__" in body
        if makes_itself:
            check_constructor(cls.__name__, body["__init__"])
        elif fields:
            # A class of fields takes them by keyword, also below a base that made itself.
            cls.__init__ = _keyword_init  # type: ignore[method-assign]
            cls.__signature__ = signature(fields)
        return Shape(
            fields,
            by_keyword=bool(fields) and not makes_itself,
            handle=cls.handle,
            owner=cls,
        )

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - the fields
        if values or self._shape.by_keyword:
            _keyword_init(self, **values)
        else:  # called by a constructor of the older kind: it sets what has no default
            fill(self, self._shape.fields, {})

    def handle(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, ARG002, RUF100
        """Do the work: a coroutine function, or a plain one, which then runs in a thread.

        What it returns is kept where the job has a `result_ttl`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define handle()")

    if TYPE_CHECKING:

        def failed(self, error: BaseException) -> Any:  # noqa: ANN401 - awaited or not
            """Called once, when no more tries are left: a coroutine function, or a plain one."""

    else:

        async def failed(self, error: BaseException) -> None:
            """Called once, when no more tries are left: a coroutine function, or a plain one."""

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
        return name_of(type(self))

    def concurrency_key(self) -> str | int:
        """What a job shares its `concurrency_limit` with, of any class; default: as `rate_key`."""
        return name_of(type(self))

    def with_options(self, **options: Unpack[OneJobOptions]) -> Self:
        """Set options of this one job; returns the job, to be dispatched.

        ``await dispatch(Remind(whom="Ada").with_options(max_tries=10))``

        Raises:
            ConfigurationError: one of them is wrong, or is for a class only.
        """
        where = type(self).__name__
        for option, value in options.items():
            check_own(where, option, value)
        check_waits(where, options)
        self._job_set(options)
        return self

    def _job_set(self, options: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in options.items() if name in self._job_kept}
        vars(self).update({name: value for name, value in options.items() if name not in kept})
        if kept:
            vars(self)[CHOSEN] = {**vars(self).get(CHOSEN, {}), **kept}

    def _job_data(self) -> dict[str, Any]:
        """What travels as data: the public attributes, without options set on this one job."""
        hidden = self._job_hidden
        return {
            name: value
            for name, value in vars(self).items()
            if name not in hidden and not name.startswith("_")
        }

    def __repr__(self) -> str:
        data = ", ".join(f"{name}={value!r}" for name, value in self._job_data().items())
        return f"{type(self).__name__}({data})"


_LONGEST_NOTE = 500

Job._job_said = Job
Job._job_hidden = frozenset({*RUNTIME, *OPTIONS})
Job._job_own = frozenset({*OPTIONS, CHOSEN})


def data_of(job: Job) -> dict[str, Any]:
    """What travels as a job's data."""
    return job._job_data()


def no_job(what: object) -> str:
    """Why a thing cannot be dispatched, and the fix."""
    fix = ""
    if isinstance(what, type) and issubclass(what, Job):
        fix = f"; make one: {what.__name__}(…)"
    elif isinstance(getattr(what, "job_class", None), type):
        fix = f"; of a function: {getattr(what, '__name__', 'it')}.job(…)"
    return f"{shown(what)} is no job; pass an instance of a subclass of Job{fix}"


def checked_class(where: str, what: object) -> type[Job]:
    """The job class that is meant: itself, or of a function.

    Raises:
        ConfigurationError: it is neither.
    """
    kind = registry.job_class_of(what)
    if not (isinstance(kind, type) and issubclass(kind, Job)):
        raise ConfigurationError(
            f"{where}: {shown(what)} must be a job class, or a function with @job"
        )
    return kind


def is_planned(job_class: type[Job]) -> bool:
    """Whether the scheduler has to admit jobs of a class; what is no job class is not planned."""
    return bool(getattr(job_class, "_planned", False))


def shape_of(job_class: type[Job]) -> Shape:
    """The shape of a job class."""
    return job_class._shape


def set_reporter(job: Job, report: Callable[[float, float | None, str], None]) -> None:
    """What a job's `progress` calls from now on."""
    job._report = report


def _keyword_init(self: Job, *by_place: object, **values: Any) -> None:  # noqa: ANN401 - the fields
    specs = self._shape.fields
    if by_place:
        names = ", ".join(f"{name}=…" for name in specs)
        raise TypeError(f"{type(self).__name__} takes its fields by name: {names}")
    wrong = misfit(specs, values)
    if wrong is not None:
        raise TypeError(f"{type(self).__name__} {wrong}")
    fill(self, specs, values)


def _check_options(
    job_class: type[Job], body: Mapping[str, Any], keywords: Mapping[str, Any]
) -> None:
    where = job_class.__name__
    annotated = own_annotations(job_class)
    said = {option: body[option] for option in OPTIONS if option in body}
    said = {
        option: value
        for option, value in said.items()
        if option not in job_class._shape.fields
        and (option not in annotated or is_class_variable(annotated[option]))
    }
    twice = [option for option in said if option in keywords]
    if twice:
        raise ConfigurationError(
            f"{where}: {twice[0]!r} is said twice, as a class keyword and in the body; keep one"
        )
    said.update(keywords)
    for option, value in said.items():
        if option != "middleware":
            check_option(where, option, value)
    check_waits(where, said)
    check_all(f"{where}: middleware", keywords.get("middleware", body.get("middleware", ())))
    check_spelling(
        where,
        [
            (name, value)
            for name, value in body.items()
            if name not in annotated and not isinstance(value, FunctionType)
        ],
    )
