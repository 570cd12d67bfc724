"""The shape of a job class: its fields, how it is made, and what becomes of JSON's values."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job.conversions import Convert, converters
from routeq_mqtt.job.fields import RUNTIME, FieldSpec
from routeq_mqtt.job.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Shape:
    """What is worked out once for each class.

    Attributes:
        fields: by name, inherited ones first.
        by_keyword: its constructor was made from its fields; else it takes no arguments, and
            attributes are set afterwards.
    """

    def __init__(self, fields: Mapping[str, FieldSpec], *, by_keyword: bool) -> None:
        self.fields = fields
        self.by_keyword = by_keyword

    @cached_property
    def converters(self) -> dict[str, Convert]:
        """For the fields that need one: from what JSON has. Late, since names resolve late."""
        return converters(self.fields)


def check_constructor(where: str, constructor: Callable[..., None]) -> None:
    """A worker makes a job of the older kind without arguments.

    Raises:
        ConfigurationError: it needs some; names them and the mend.
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
