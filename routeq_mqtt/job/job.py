"""`Job`: what users write."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job import registry
from routeq_mqtt.job.fields import FieldSpec, collect, converters, fill
from routeq_mqtt.job.options import check_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.job.backoff import Exponential


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
        timeout: seconds that one attempt may take; default 60; None: no limit.
        retry_after: seconds before the next attempt; default 0.
        backoff: instead of `retry_after`: seconds, a list of seconds (one for each further attempt,
            the last one repeats), or `Exponential`.
        name: the wire name; default: the class's name.

    Attributes:
        job_id: its id; None before it was dispatched.
        attempts: which attempt this is, from 1.
        headers: what travels with it.
    """

    queue: ClassVar[str] = "default"
    max_tries: ClassVar[int] = 3
    timeout: ClassVar[float | None] = 60
    retry_after: ClassVar[float] = 0
    backoff: ClassVar[float | list[float] | tuple[float, ...] | Exponential | None] = None
    name: ClassVar[str] = "Job"

    job_id: str | None = None
    attempts: int = 1
    headers: dict[str, Any] | None = None

    _fields: ClassVar[dict[str, FieldSpec]] = {}
    _by_keyword: ClassVar[bool] = False
    _converters: ClassVar[dict[str, Callable[[Any], Any]] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**kwargs)
        body = dict(cls.__dict__)
        check_options(cls, body)
        cls._fields = collect(cls, Job)
        cls._converters = None
        if "__init__" in body:
            _check_init(cls)
        elif any(name not in vars(Job) for name in body.get("__annotations__", {})):
            cls.__init__ = _keyword_init  # type: ignore[method-assign]
        cls._by_keyword = bool(cls._fields) and cls.__init__ in {_keyword_init, Job.__init__}
        if not body.get("abstract", False):
            if "name" not in body:
                cls.name = cls.__name__
            registry.register(cls.name, cls)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - the fields
        fill(self, self._fields, values)

    async def handle(self) -> None:
        """Do the work. May be a plain function: then it runs in a thread."""
        raise NotImplementedError(f"{type(self).__name__} does not define handle()")

    async def failed(self, error: BaseException) -> None:
        """Called once, when no more tries are left. May be a plain function."""

    def data(self) -> dict[str, Any]:
        """What travels: the public attributes."""
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name not in _RUNTIME
        }

    def __repr__(self) -> str:
        data = ", ".join(f"{name}={value!r}" for name, value in self.data().items())
        return f"{type(self).__name__}({data})"


_RUNTIME = frozenset({"job_id", "attempts", "headers"})


def _keyword_init(self: Job, **values: Any) -> None:  # noqa: ANN401 - the fields
    fill(self, self._fields, values)


def _check_init(job_class: type[Job]) -> None:
    """A worker makes the job without arguments and sets its attributes."""
    parameters = list(inspect.signature(job_class.__init__).parameters.values())[1:]
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    if needed:
        raise ConfigurationError(
            f"{job_class.__name__}.__init__ needs {', '.join(needed)}, but a worker makes the job "
            "without arguments; annotate the fields instead and leave __init__ out"
        )


def takes_keywords(job_class: type[Job]) -> bool:
    """Whether its constructor was made from its fields."""
    return job_class._by_keyword  # noqa: SLF001 - our own class


def conversions(job_class: type[Job]) -> dict[str, Callable[[Any], Any]]:
    """How to make the values of a class's fields from what JSON has; worked out once."""
    known = job_class.__dict__.get("_converters")
    if known is None:
        known = converters(job_class, job_class._fields)
        job_class._converters = known  # noqa: SLF001
    return dict(known) if known else {}
