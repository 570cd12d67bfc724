"""Functions as jobs: each becomes a job class of its own, with the same wire format and options."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypedDict, TypeVar, cast

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.calls.depends import dependencies_of, injected
from routeq_mqtt.jobs.fields import FieldSpec, misfit, of_default
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.jobs.keywords import check_own, set_keywords
from routeq_mqtt.jobs.options import JobOptions, check_waits
from routeq_mqtt.jobs.schema import Shape
from routeq_mqtt.jobs.signatures import is_async, refuse_generator, takes, takes_names
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

R = TypeVar("R")

_running: ContextVar[Job] = ContextVar("routeq_current_job")


class Keys(TypedDict, total=False):
    """What a function job says by functions of its arguments; see the methods of `Job`."""

    unique_key: Callable[..., str | int]
    rate_key: Callable[..., str | int]
    concurrency_key: Callable[..., str | int]
    failed: Callable[[BaseException], Any]


class FunctionOptions(JobOptions, Keys, total=False):
    """What the decorator `job` takes: the options of a job class, and functions for its methods."""


class FunctionJob(Job, Generic[R], abstract=True):
    """A call of a function that was decorated with `job`, as a job.

    Attributes:
        arguments: of the call, by name; those whose names are free are attributes, too.
    """

    function: ClassVar[Callable[..., Any]]
    arguments: dict[str, Any]
    _job_signature: ClassVar[inspect.Signature]

    def __init__(self, **arguments: Any) -> None:
        specs = self._shape.fields
        wrong = misfit(specs, arguments)
        if wrong is not None:
            raise TypeError(f"{type(self).__name__} {wrong}")
        self._job_arguments = {
            name: arguments[name] if name in arguments else spec.make()  # type: ignore[misc]
            for name, spec in specs.items()
        }

    @classmethod
    def _job_shape(cls, body: Mapping[str, Any], keywords: Mapping[str, Any]) -> Shape:
        """The parameters of the function are the fields: no name is taken."""
        set_keywords(cls, keywords, ())
        parameters: Mapping[str, inspect.Parameter] = body.get("_job_parameters", {})
        fields = {
            name: FieldSpec(name, part.annotation, cls, of_default(part.default, part.empty))
            for name, part in parameters.items()
        }
        return Shape(fields, by_keyword=True, handle=body.get("function"), owner=cls)

    if TYPE_CHECKING:

        def handle(self, *args: Any, **kwargs: Any) -> R:
            """Call the function; awaited where that is a coroutine function."""

    @classmethod
    def of_call(cls, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Self:
        """The job of a call.

        Raises:
            TypeError: the arguments do not fit the parameters.
        """
        if not args:
            return cls(**kwargs)
        try:
            bound = cls._job_signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}: {error}") from None
        return cls(**bound.arguments)

    @classmethod
    def check_own(cls, options: Mapping[str, Any]) -> None:
        """Check options of one call.

        Raises:
            ConfigurationError: one of them is wrong, or for all calls only.
        """
        for option, value in options.items():
            check_own(cls.__name__, option, value)
        check_waits(cls.__name__, options)

    def _job_data(self) -> dict[str, Any]:
        return dict(self._job_arguments)

    def __getattr__(self, name: str) -> Any:
        if name == "arguments":
            return self._job_arguments
        try:
            return vars(self)["_job_arguments"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no argument {name!r}") from None


def current_job() -> Job:
    """The job whose function runs here: for its `job_id`, `attempts`, `headers`, `progress`, ….

    Raises:
        ConfigurationError: no function job runs here, as when a test calls the function directly.
    """
    try:
        return _running.get()
    except LookupError:
        raise ConfigurationError(
            "current_job: no function job runs here; it is called by a worker, not directly"
        ) from None


def class_of(function: Callable[..., Any], options: FunctionOptions) -> type[FunctionJob[Any]]:
    """The job class of a function.

    Raises:
        ConfigurationError: the function cannot be a job, or an option is wrong; says why.
        DuplicateJobName: another job has its wire name.
    """
    if not inspect.isroutine(function) or inspect.ismethod(function):
        raise ConfigurationError(
            f"job: {shown(function)} must be a function; of a class derive from Job"
        )
    name = function.__name__
    refuse_generator(name, function)
    needs = dependencies_of(function)
    parameters = {
        name: part
        for name, part in inspect.signature(function).parameters.items()
        if name not in needs
    }
    function = injected(function)
    for parameter in parameters.values():
        _check(name, parameter)
    _refuse_method(function, parameters)
    said = dict(options)
    methods: dict[str, Any] = {key: said.pop(key) for key in Keys.__annotations__ if key in said}
    for key, method in methods.items():
        if not callable(method):
            raise ConfigurationError(f"{name}: {key}={shown(method)} must be a function")
        refuse_generator(f"{name}: {key}", method)
        fits = takes(method, 1) if key == "failed" else takes_names(method, parameters)
        if not fits:
            wanted = "the error" if key == "failed" else ", ".join(parameters) or "no arguments"
            raise ConfigurationError(
                f"{name}: {key}={shown(method)} must be a function of {wanted}"
            )
    body = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "function": staticmethod(function),
        "handle": _handle(function),
        "_job_parameters": parameters,
        "_job_signature": inspect.Signature(list(parameters.values())),
        **{key: _method(key, method) for key, method in methods.items()},
    }
    made = new_class(name, (FunctionJob,), said, lambda names: names.update(body))
    return cast("type[FunctionJob[Any]]", made)


def _check(where: str, parameter: inspect.Parameter) -> None:
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        raise ConfigurationError(
            f"{where}: the parameter {parameter} cannot travel: its names are not known; "
            "name each parameter"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ConfigurationError(
            f"{where}: the parameter {parameter.name!r} is positional only, and arguments travel "
            "by name; leave out the /"
        )


def _refuse_method(
    function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> None:
    """`self` would be an argument that travels."""
    above = function.__qualname__.rpartition(".")[0]
    if above and not above.endswith("<locals>") and next(iter(parameters), "") in {"self", "cls"}:
        raise ConfigurationError(
            f"{function.__qualname__}: a method cannot be a job; put @job above a function of a "
            "module, or derive a class from Job"
        )


def _handle(function: Callable[..., Any]) -> Callable[..., Any]:
    if is_async(function):

        async def handle(self: FunctionJob[Any]) -> Any:
            token = _running.set(self)
            try:
                return await function(**self._job_arguments)
            finally:
                _running.reset(token)

        return handle

    def handle_plain(self: FunctionJob[Any]) -> Any:
        token = _running.set(self)
        try:
            return function(**self._job_arguments)
        finally:
            _running.reset(token)

    return handle_plain


def _method(key: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if key != "failed":
        return lambda self: method(**self._job_arguments)

    if is_async(method):

        async def failed(self: FunctionJob[Any], error: BaseException) -> None:
            token = _running.set(self)
            try:
                await method(error)
            finally:
                _running.reset(token)

        return failed

    def failed_plain(self: FunctionJob[Any], error: BaseException) -> Any:
        token = _running.set(self)
        try:
            return method(error)
        finally:
            _running.reset(token)

    return failed_plain
