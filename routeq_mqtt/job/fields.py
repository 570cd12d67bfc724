"""Annotated fields of a job class: what its keyword constructor takes."""

from __future__ import annotations

import copy
import difflib
import inspect
import re
import sys
from dataclasses import MISSING, Field, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_origin

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RUNTIME = ("job_id", "attempts", "headers", "batch_id")
"""What every job has besides its data; set by the library."""

METHODS = ("handle", "failed", "data", "middleware", "progress")

_ATOMS = (type(None), bool, int, float, complex, str, bytes, frozenset, type)
_CLASS_VARIABLE = re.compile(r"\s*(\w+\.)?ClassVar\b")


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field.

    Attributes:
        name: of the field.
        annotation: as it was written.
        owner: the class that annotates it: where its names are looked up.
        make: makes the default; None: the field is required.
    """

    name: str
    annotation: object
    owner: type
    make: Callable[[], Any] | None


def own_annotations(owner: type) -> dict[str, Any]:
    """A class's own annotations, unevaluated where they name what does not exist."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(owner, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(owner)


def own_fields(job_class: type) -> Iterator[tuple[str, Any]]:
    """Name and annotation of each field that a class adds itself.

    Raises:
        ConfigurationError: a field has the name of something that every job has.
    """
    body = vars(job_class)
    for name, annotation in own_annotations(job_class).items():
        if name.startswith("_") or is_class_variable(annotation):
            continue
        if name in OPTIONS and name in body:
            continue  # an option with an annotation
        if name in OPTIONS or name in RUNTIME or name in METHODS or name == "abstract":
            mend = f", or set it: {name} = …" if name in OPTIONS else ""
            raise ConfigurationError(
                f"{job_class.__name__}: a field cannot be called {name!r}, every job has that; "
                f"choose another name{mend}"
            )
        yield name, annotation


def is_class_variable(annotation: object) -> bool:
    """Whether an annotation says ClassVar."""
    if isinstance(annotation, str):
        return _CLASS_VARIABLE.match(annotation) is not None
    return get_origin(annotation) is ClassVar or annotation is ClassVar


def collect(job_class: type, inherited: Mapping[str, FieldSpec]) -> dict[str, FieldSpec]:
    """The fields of a class, inherited ones first; a body may give those another default.

    Raises:
        ConfigurationError: a field has the name of something that every job has.
    """
    body = vars(job_class)
    specs = {
        name: FieldSpec(name, spec.annotation, spec.owner, _maker(body[name]))
        if name in body
        else spec
        for name, spec in inherited.items()
    }
    for name, annotation in own_fields(job_class):
        specs[name] = FieldSpec(name, annotation, job_class, _maker(body.get(name, MISSING)))
    return specs


def _maker(default: Any) -> Callable[[], Any] | None:  # noqa: ANN401
    if isinstance(default, Field):
        if default.default_factory is not MISSING:
            return default.default_factory
        default = default.default
    if default is MISSING:
        return None
    if isinstance(default, _ATOMS):
        return lambda: default
    return lambda: copy.deepcopy(default)


def misfit(specs: Mapping[str, FieldSpec], values: Mapping[str, Any]) -> str | None:
    """What is wrong with values for these fields: one that is unknown or missing; None: nothing."""
    unknown = [name for name in values if name not in specs]
    if unknown:
        name = unknown[0]
        if name in OPTIONS:
            return f"has no field {name!r}: that is an option of its class"
        close = difflib.get_close_matches(name, specs, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"has no field {name[:80]!r}{hint}"
    missing = [name for name, spec in specs.items() if spec.make is None and name not in values]
    return f"needs {', '.join(map(repr, missing))}" if missing else None


def fill(job: object, specs: Mapping[str, FieldSpec], values: Mapping[str, Any]) -> None:
    """Set the fields of a job: to a value where one is given, else to their default."""
    for name, spec in specs.items():
        if name in values:
            setattr(job, name, values[name])
        elif spec.make is not None:
            setattr(job, name, spec.make())


def signature(specs: Mapping[str, FieldSpec]) -> inspect.Signature:
    """The signature of a constructor of these fields, for editors and `help()`."""
    kind = inspect.Parameter.KEYWORD_ONLY
    fields = [
        inspect.Parameter(
            name,
            kind,
            default=inspect.Parameter.empty if spec.make is None else spec.make(),
            annotation=spec.annotation,
        )
        for name, spec in specs.items()
    ]
    return inspect.Signature(fields)
