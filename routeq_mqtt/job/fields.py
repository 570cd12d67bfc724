"""Annotated fields of a job class: its keyword constructor, and values that came as JSON."""

from __future__ import annotations

import copy
import difflib
import types
import typing
from dataclasses import MISSING, Field, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Union, get_args, get_origin
from uuid import UUID

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.job.options import OPTIONS

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RUNTIME = ("job_id", "attempts", "headers")
_METHODS = ("handle", "failed", "data")


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field: its name, how to make its default, and what it is annotated with."""

    name: str
    default: Any
    factory: Callable[[], Any] | None
    required: bool


def collect(job_class: type, base: type) -> dict[str, FieldSpec]:
    """The fields of a class, inherited ones first.

    Raises:
        ConfigurationError: a field has the name of something that every job has.
    """
    specs: dict[str, FieldSpec] = {}
    for owner in reversed(job_class.__mro__):
        if not issubclass(owner, base) or owner is base:
            continue
        for name, annotation in owner.__dict__.get("__annotations__", {}).items():
            if name in OPTIONS or name.startswith("_") or _is_class_variable(annotation):
                continue
            if name in (*_RUNTIME, *_METHODS):
                raise ConfigurationError(
                    f"{owner.__name__}: a field cannot be called {name!r}, every job has that; "
                    "choose another name"
                )
            specs[name] = _spec(name, owner.__dict__.get(name, MISSING))
    return specs


def _is_class_variable(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar"))
    return get_origin(annotation) is ClassVar or annotation is ClassVar


def _spec(name: str, default: Any) -> FieldSpec:  # noqa: ANN401
    if isinstance(default, Field):
        if default.default_factory is not MISSING:
            return FieldSpec(name, None, default.default_factory, required=False)
        default = default.default
    if default is MISSING:
        return FieldSpec(name, None, None, required=True)
    return FieldSpec(name, default, None, required=False)


def fill(job: object, specs: Mapping[str, FieldSpec], values: dict[str, Any]) -> None:
    """Set the fields of a job from keyword arguments.

    Raises:
        TypeError: an argument is missing or unknown; names class and argument.
    """
    where = type(job).__name__
    unknown = values.keys() - specs.keys()
    if unknown:
        name = min(unknown)
        close = difflib.get_close_matches(name, specs, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TypeError(f"{where}() has no field {name!r}{hint}")
    missing = [name for name, spec in specs.items() if spec.required and name not in values]
    if missing:
        raise TypeError(f"{where}() needs {', '.join(map(repr, missing))}")
    for name, spec in specs.items():
        if name in values:
            setattr(job, name, values[name])
        elif spec.factory is not None:
            setattr(job, name, spec.factory())
        else:
            setattr(job, name, copy.copy(spec.default))


def converters(job_class: type, specs: Mapping[str, FieldSpec]) -> dict[str, Callable[[Any], Any]]:
    """For fields whose annotated type JSON lacks: how to make the value from what JSON has."""
    try:
        hints = typing.get_type_hints(job_class)
    except Exception:  # noqa: BLE001 - a name that exists for type checkers only
        return {}
    found = {name: _converter(hints.get(name)) for name in specs}
    return {name: convert for name, convert in found.items() if convert is not None}


def _converter(annotation: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _converter(members[0]) if len(members) == 1 else None
    if get_origin(annotation) is not None:
        annotation = get_origin(annotation)
    parse = _PARSERS.get(annotation)
    if parse is None:
        return None
    kinds, make = parse
    return lambda value: make(value) if type(value) in kinds else value


_PARSERS: dict[Any, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    datetime: ((str,), datetime.fromisoformat),
    date: ((str,), date.fromisoformat),
    timedelta: ((int, float), lambda value: timedelta(seconds=value)),
    UUID: ((str,), UUID),
    Decimal: ((str, int), Decimal),
    float: ((int,), float),
    tuple: ((list,), tuple),
    set: ((list,), set),
    frozenset: ((list,), frozenset),
}
