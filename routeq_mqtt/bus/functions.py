"""``@job``: a function that is dispatched as a job, and still called as a function in tests."""

from __future__ import annotations

from datetime import datetime
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from routeq_mqtt.bus.default import dispatch
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.calls.depends import injected
from routeq_mqtt.jobs.calls.functions import FunctionJob, FunctionOptions, class_of
from routeq_mqtt.jobs.options import OneJobOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from routeq_mqtt.bus.features.handles import JobHandle
    from routeq_mqtt.bus.send.arguments import DispatchOptions
    from routeq_mqtt.outbox.options import Confirm

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")


class CallOptions(OneJobOptions, total=False):
    """Options of one call: those of one job, where `timeout` limits a run, and of its dispatch.

    Attributes:
        to: the device that is to run it: a worker's `--name`.
        delay: seconds until it runs.
        run_at: when it runs: a datetime (naive: local time) or UTC epoch seconds.
        expires_at: when it is too late to run it; then it becomes a failed record.
        headers: travel with the job.
        confirm: "broker" (default) or "stored"; see `Bus.dispatch`.
        dispatch_timeout: seconds that the dispatch may take; default: the settings'.
    """

    to: str | None
    delay: float | None
    run_at: datetime | float | None
    expires_at: datetime | float | None
    headers: Mapping[str, Any] | None
    confirm: Confirm | None
    dispatch_timeout: float | None


class _Calls(Generic[P, R]):
    """Makes and dispatches calls of a function, with some options."""

    def __init__(self, job_class: type[FunctionJob[R]], options: CallOptions) -> None:
        self.job_class = job_class
        said = dict(options)
        own = {name: said.pop(name) for name in OneJobOptions.__annotations__ if name in said}
        self._own = cast("OneJobOptions", own)
        if "dispatch_timeout" in said:
            said["timeout"] = said.pop("dispatch_timeout")
        self._dispatch = cast("DispatchOptions", said)
        if own:
            self.job_class.check_own(own)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> FunctionJob[R]:
        """A call as a job: for `bulk`, `chain`, `batch`, a `SyncBus`, or a bus of your own.

        Raises:
            TypeError: the arguments do not fit the function's parameters.
        """
        made = self.job_class.of_call(args, kwargs)
        return made.with_options(**self._own) if self._own else made

    async def dispatch(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Send a call on the default bus; takes the function's arguments.

        Raises:
            TypeError: the arguments do not fit the function's parameters.
            RouteqError: as `Bus.dispatch`.
        """
        handle: JobHandle[R] = await dispatch(self.job(*args, **kwargs), **self._dispatch)
        return handle

    async def later(
        self, when: float | datetime, *args: P.args, **kwargs: P.kwargs
    ) -> JobHandle[R]:
        """Send a call that runs `when`: in seconds from now, or a datetime; as `dispatch`."""
        options: DispatchOptions = {**self._dispatch}
        if isinstance(when, datetime):
            options["run_at"] = when
        else:
            options["delay"] = when
        handle: JobHandle[R] = await dispatch(self.job(*args, **kwargs), **options)
        return handle


class FunctionCall(_Calls[P, R]):
    """Calls of a function with some options: what `JobFunction.options` returns."""


class JobFunction(_Calls[P, R], Generic[P, C, R]):
    """A function that was decorated with `job`.

    Call it, and the function runs here, as without the decorator. `dispatch` sends the call.

    Attributes:
        job_class: the job class that was made of it: for `assert_dispatched`, and where a class is
            asked for.
    """

    __name__: str

    def __init__(self, function: Callable[P, C], job_class: type[FunctionJob[R]]) -> None:
        super().__init__(job_class, {})
        self._function: Callable[P, C] = injected(function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function here: no job is made."""
        return self._function(*args, **kwargs)

    def options(self, **options: Unpack[CallOptions]) -> FunctionCall[P, R]:
        """The same function with options for one call, or for several.

        ``await send_email.options(delay=3, max_tries=10).dispatch(to="a")``

        Raises:
            ConfigurationError: one of them is wrong.
        """
        unknown = options.keys() - CallOptions.__annotations__.keys() - _INHERITED
        if unknown:
            raise ConfigurationError(
                f"{self.__name__}.options: there is no option {min(unknown)!r}; "
                f"take one of {', '.join(sorted(CallOptions.__annotations__))}"
            )
        return FunctionCall(self.job_class, options)

    def __repr__(self) -> str:
        return f"<job {self.job_class.__module__}.{self.job_class.__qualname__}>"


_INHERITED = OneJobOptions.__annotations__.keys()


class JobDecorator(Protocol):
    """What `job` with options returns: makes a job of a function."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> JobFunction[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R, R]: ...


@overload
def job(
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> JobFunction[P, Coroutine[Any, Any, R], R]: ...
@overload
def job(function: Callable[P, R], /) -> JobFunction[P, R, R]: ...
@overload
def job(**options: Unpack[FunctionOptions]) -> JobDecorator: ...
def job(
    function: Callable[..., Any] | None = None, /, **options: Unpack[FunctionOptions]
) -> JobFunction[..., Any, Any] | JobDecorator:
    """Make a job of a function (a decorator).

    ::

        @job(queue="mail", max_tries=5)
        async def send_email(to: str, subject: str = "Hello") -> int: ...

        handle = await send_email.dispatch(to="a@b.c")
        await send_email.options(delay=3).dispatch("a@b.c")

    Its parameters are the job's data, whatever they are called; its name is the wire name. A plain
    function runs in a thread of the worker. `current_job` gives the job inside.

    Args:
        function: a coroutine function, or a plain one.
        **options: those of a job class (see `Job`); besides `unique_key`, `rate_key` and
            `concurrency_key`: functions of the same parameters; and `failed`: a function of the
            error, called once when no more tries are left.

    Raises:
        ConfigurationError: an option is wrong, or the function has ``*args``, ``**kwargs`` or
            positional-only parameters.
        DuplicateJobName: another job has its wire name.
    """
    if function is not None:
        return JobFunction(function, class_of(function, options))

    def decorate(function: Callable[..., Any], /) -> JobFunction[..., Any, Any]:
        return JobFunction(function, class_of(function, options))

    return cast("JobDecorator", decorate)
