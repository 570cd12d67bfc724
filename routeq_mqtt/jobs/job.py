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
from routeq_mqtt.jobs.calls.depends import dependencies_of, injected
from routeq_mqtt.jobs.fields import (
    RUNTIME,
    collect,
    fill,
    is_class_variable,
    misfit,
    own_annotations,
    signature,
)
from routeq_mqtt.jobs.keywords import (
    CHOSEN,
    check_own,
    name_of,
    refuse_keywords,
    set_keywords,
    take_keywords,
)
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
from routeq_mqtt.jobs.signatures import check_methods
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from inspect import Signature

    from routeq_mqtt.jobs.middleware import Middleware


@dataclass_transform(kw_only_default=True, field_specifiers=(field, Field))
class Job:
    """A unit of work: its data, and `handle`, which a worker calls.

    Annotate the data as fields; the constructor takes them as keyword arguments::

        class SendEmail(Job, queue="emails"):
            to: str
            subject: str = "Hello"

            async def handle(self) -> None:
                await send(self.to, self.subject)

    Or define ``__init__`` without arguments and set public attributes afterwards. Defining a
    subclass registers it under its wire name, unless ``abstract = True`` stands in its body: then
    it is only a base for other classes.

    Options are class keywords, ``class SendEmail(Job, queue="emails", max_tries=5)``, or class
    attributes without an annotation, ``queue = "emails"``. If a field has the name of an option
    (``queue: str``), give the option as a class keyword.

    Options:
        queue: the queue that it is dispatched to; default "default".
        max_tries: maximum number of attempts; default 3.
        timeout: seconds that one attempt may take; default 60; 0 or None: no limit.
        retry_after: seconds before the next attempt; default 0.
        backoff: replaces `retry_after`: seconds, a list of seconds (one for each further attempt,
            the last one repeats), or `Exponential`; default None.
        retry_until: seconds after the dispatch; no attempt starts later. A class that sets it and
            no `max_tries` is retried as often as fits into that time; default None.
        max_exceptions: maximum number of errors, in addition to `max_tries`. A `Retry` counts as
            an attempt, but not as an error; default None: no limit.
        fail_on_timeout: an attempt that exceeds `timeout` is the last one; default False.
        dont_retry_on: exceptions after which the job is not retried; default ().
        result_ttl: seconds for which the return value of `handle` is kept for `JobHandle.result`;
            default 0: it is not kept.
        executor: "worker": `handle` runs in the worker, a plain function in a thread; "process":
            in a process of its own, for code that is CPU-bound or may crash, and a timeout kills
            the process; default "worker".
        unique_for: seconds for which other jobs with the same `unique_key` are dropped; default
            None.
        unique_until: what ends `unique_for` early: "finished": the end of this job; "started": its
            start; default "finished".
        debounce_for: seconds to wait before it runs; another job with the same `unique_key`
            replaces its data and restarts the wait; default None.
        throttle_for: seconds for which other jobs with the same `unique_key` are dropped, also
            after this one has ended; default None.
        rate_limit: (count, seconds): token bucket. At most `count` jobs with the same `rate_key`
            start per `seconds`; bursts up to `count`; default None.
        concurrency_limit: maximum number of jobs with the same `concurrency_key` that run at the
            same time, over all workers; default None: no limit.
        without_overlapping: the same as ``concurrency_limit = 1``; default False.
        across_queues: `unique_key`, `rate_key` and `concurrency_key` apply across all queues, not
            within one; default False.
        overrides: bounds for options that a single job sets itself; default ``Overrides()``; None:
            such options are ignored.
        name: the wire name; default: the name of the class.
        middleware: coroutine functions around `handle`, outermost first; default ().

    Attributes:
        job_id: its id; None before the dispatch.
        attempts: number of the current attempt, from 1.
        headers: a map that travels beside the data; default None.
        batch_id: the batch that it belongs to, or None.

    Raises:
        ConfigurationError: when a subclass is defined: an option is invalid or misspelt, a field
            has a reserved name, or there is no `handle`.
        DuplicateJobName: when a subclass is defined: another class has the same wire name.
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
            try:
                super().__init_subclass__(**options)
            except TypeError as error:
                refuse_keywords(cls.__name__, options, error)
                raise
            cls._job_defined(keywords)

    @classmethod
    def _job_defined(cls, keywords: Mapping[str, Any]) -> None:
        own = vars(cls).get("handle")
        needs = dependencies_of(own) if isinstance(own, FunctionType) else {}
        check_methods(cls.__name__, vars(cls), needs)
        if isinstance(own, FunctionType):
            cls.handle = injected(own)  # type: ignore[method-assign]
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
        """Do the work: a coroutine function, or a plain function, which runs in a thread.

        The return value is kept for `result_ttl` seconds.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define handle()")

    if TYPE_CHECKING:

        def failed(self, error: BaseException) -> Any:  # noqa: ANN401 - awaited or not
            """Called once, after the last attempt: a coroutine function or a plain one."""

    else:

        async def failed(self, error: BaseException) -> None:
            """Called once, after the last attempt: a coroutine function or a plain one."""

    def release(self, delay: float = 0.0) -> NoReturn:
        """End this run and run the job again in `delay` seconds; this attempt does not count.

        Args:
            delay: seconds; default 0.

        Raises:
            Release: always; do not catch it.
        """
        raise Release(delay)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report progress, for `JobHandle.status` and ``routeq/events/<queue>``.

        Call it as often as you like, also from threads: the latest call is published a few times
        a second. Outside a worker it does nothing.

        Args:
            done: how much of the work is done, in any unit.
            total: all of the work, in the same unit; default: unknown.
            note: a text for people; cut after 500 characters.

        Raises:
            ConfigurationError: `done` or `total` is not a finite number, or `note` is not text.
        """
        check_progress(type(self).__name__, done, total, note)
        if self._report is not None:
            self._report(done, total, note[:_LONGEST_NOTE])

    def unique_key(self) -> str | int:
        """Jobs with the same key count as identical (`unique_for` …); default: made of all data."""
        return default_key(self)

    def rate_key(self) -> str | int:
        """Jobs with the same key, of any class, share a `rate_limit`; default: the wire name."""
        return name_of(type(self))

    def concurrency_key(self) -> str | int:
        """Jobs with the same key, of any class, share their slots; default: the wire name."""
        return name_of(type(self))

    def with_options(self, **options: Unpack[OneJobOptions]) -> Self:
        """Set options of this one job, and return the job.

        ``await dispatch(Remind(whom="Ada").with_options(max_tries=10))``

        Raises:
            ConfigurationError: an option is invalid, or can only be set on a class.
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
    return f"{shown(what)} is not a job; pass an instance of a subclass of Job{fix}"


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
    """Whether the scheduler has to admit jobs of a class; False for anything else."""
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
