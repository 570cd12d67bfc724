"""The shape of a job class: its fields, how it is made, and what becomes of JSON's values."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.fields import RUNTIME, FieldSpec
from routeq_mqtt.jobs.options import OPTIONS
from routeq_mqtt.jobs.types.build import codec_of_field, codec_of_result, type_of
from routeq_mqtt.jobs.types.codec import Codec, Decode, WrongType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from routeq_mqtt.jobs.job import Job


class _NoneIsWell:
    """The type of no value."""


class Shape:
    """What is worked out once for each class.

    Attributes:
        fields: by name, inherited ones first.
        by_keyword: its constructor was made from its fields; else it takes no arguments, and
            attributes are set afterwards.

    Args:
        handle: the function whose result is that of the job.
        owner: the class.
    """

    def __init__(
        self,
        fields: Mapping[str, FieldSpec],
        *,
        by_keyword: bool,
        handle: object = None,
        owner: type = object,
    ) -> None:
        self.fields = fields
        self.by_keyword = by_keyword
        self._handle = handle
        self._owner = owner

    @cached_property
    def result(self) -> Codec:
        """Of what its `handle` returns."""
        return codec_of_result(self._handle, self._owner)

    @cached_property
    def codecs(self) -> dict[str, Codec]:
        """Of each field. Late, since names resolve late."""
        return {name: codec_of_field(spec, self._owner) for name, spec in self.fields.items()}

    @cached_property
    def plan(self) -> tuple[tuple[str, type | None], ...]:
        """What is looked at where a job is sent: each field, and the type whose values are well.

        None: whatever it holds; `_NoneIsWell`: each of its values has to be encoded.
        """
        return tuple(
            (name, None if codec.encode is None else codec.exact or _NoneIsWell)
            for name, codec in self.codecs.items()
        )

    @cached_property
    def decoders(self) -> dict[str, Decode]:
        """For the fields that need one: makes a value of what has travelled."""
        return {
            name: codec.decode for name, codec in self.codecs.items() if codec.decode is not None
        }

    def encoded(self, where: str, name: str, value: Any) -> Any:  # noqa: ANN401 - a field's
        """What travels of a value that is not of the type in `plan`.

        Raises:
            PackingError: it is of the wrong type, and not the default; names the path in the job.
        """
        try:
            return self.codecs[name].encoded(value, f"{where}.{name}")
        except WrongType:
            make = self.fields[name].make
            default = None if make is None else make()
            if make is not None and type(default) is type(value) and default == value:
                return value
            raise

    def type_of(self, name: str) -> object:
        """The type that a field is annotated as; of ``T | None`` it is T. None: no such type."""
        return type_of(self.fields[name]) if name in self.fields else None


def check_constructor(where: str, constructor: Callable[..., None]) -> None:
    """A worker makes a job of the older kind without arguments.

    Raises:
        ConfigurationError: it needs some; names them and the fix.
    """
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    if needed:
        raise ConfigurationError(
            f"{where}.__init__ needs {', '.join(needed)}, but a worker makes the job without "
            "arguments; annotate the fields instead and leave __init__ out"
        )


def data_misfit(job_class: type, name: str) -> str | None:
    """Why an attribute of a message cannot be set on a job of this class; None: it can."""
    if name.startswith("_"):
        return f"data.{name[:80]}: the name of a field cannot begin with _"
    if name in OPTIONS or name in RUNTIME:
        return f"data.{name}: every job has that; an option travels beside the data"
    if callable(getattr(job_class, name, None)):
        return f"data.{name[:80]}: {job_class.__name__} has a method of that name"
    return None


def encoded_data(job: Job) -> dict[str, Any]:
    """What travels as a job's data: checked, and made what messages can hold.

    Raises:
        PackingError: a value is not what its field is annotated as; names its path and both types.
    """
    shape = job._shape
    attributes = vars(job)
    if len(attributes) == len(shape.fields) + 1 and shape.by_keyword and "job_id" in attributes:
        try:
            return _planned(job, shape, attributes)
        except KeyError:  # an attribute was deleted, another one set
            pass
    data = job._job_data()
    for name, exact in shape.plan:
        if exact is not None and name in data and type(value := data[name]) is not exact:
            data[name] = shape.encoded(type(job).__name__, name, value)
    return data


def _planned(job: Job, shape: Shape, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a job that has its fields and its id, and nothing else: so are most."""
    data = {}
    for name, exact in shape.plan:
        value = attributes[name]
        if exact is not None and type(value) is not exact:
            value = shape.encoded(type(job).__name__, name, value)
        data[name] = value
    return data
