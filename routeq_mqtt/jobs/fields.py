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
from routeq_mqtt.jobs.options import OPTIONS
from routeq_mqtt.wire.display import shown

if sys.version_info >= (3, 14):
    import annotationlib

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

RUNTIME = ("job_id", "attempts", "headers", "batch_id")
"""What every job has besides its data; set by the library."""

METHODS = (
    "handle",
    "failed",
    "middleware",
    "progress",
    "release",
    "with_options",
    "unique_key",
    "rate_key",
    "concurrency_key",
)
"""What every job can do: a field of such a name would take its place."""

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
        return annotationlib.get_annotations(owner, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(owner)


def own_fields(job_class: type, keywords: Container[str] = ()) -> Iterator[tuple[str, Any]]:
    """Name and annotation of each field that a class adds itself.

    Args:
        job_class: the class.
        keywords: options that it says as class keywords: those names are free for fields.

    Raises:
        ConfigurationError: a field has the name of something that every job has, or it cannot be
            known whether a name is a field or an option.
    """
    body = vars(job_class)
    for name, annotation in own_annotations(job_class).items():
        if name.startswith("_") or is_class_variable(annotation):
            continue
        if name in RUNTIME or name in METHODS or name == "abstract":
            raise ConfigurationError(
                f"{job_class.__name__}: {name!r} is a reserved job attribute; rename the field"
            )
        if name in OPTIONS and name not in keywords and not _is_free(body.get(name, MISSING)):
            raise ConfigurationError(
                f"{job_class.__name__}: {name}: … = {shown(body[name])} may be a field or the "
                f"option {name!r}; for the option write {name} = … without an annotation, or "
                f"class {job_class.__name__}(Job, {name}=…); for a field write "
                f"{name}: … = field(default=…), of dataclasses"
            )
        yield name, annotation


def _is_free(default: object) -> bool:
    """Whether it says that a name is a field: no default, or one of `dataclasses.field`."""
    return default is MISSING or isinstance(default, Field)


def is_class_variable(annotation: object) -> bool:
    """Whether an annotation says ClassVar."""
    if isinstance(annotation, str):
        return _CLASS_VARIABLE.match(annotation) is not None
    return get_origin(annotation) is ClassVar or annotation is ClassVar


def collect(
    job_class: type, inherited: Mapping[str, FieldSpec], keywords: Container[str] = ()
) -> dict[str, FieldSpec]:
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
    for name, annotation in own_fields(job_class, keywords):
        specs[name] = FieldSpec(name, annotation, job_class, _maker(body.get(name, MISSING)))
    return specs


def of_default(default: Any, missing: object) -> Callable[[], Any] | None:  # noqa: ANN401
    """What makes a default; None: there is none."""
    return None if default is missing else _maker(default)


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
