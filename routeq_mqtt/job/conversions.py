"""Values that came as JSON, made what a field's annotation says: JSON has no dates and no UUIDs.

Only these types are converted, and only from what JSON has in their place. Nothing is checked:
a field that is annotated `int` and gets a text keeps the text, as everywhere in Python.
"""

from __future__ import annotations

import sys
import types
import typing
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

if typing.TYPE_CHECKING:
    from routeq_mqtt.job.fields import FieldSpec

Convert = Callable[[Any], Any]


def converters(specs: Mapping[str, FieldSpec]) -> dict[str, Convert]:
    """For each field that may need one, a function from what JSON has.

    It returns what is no such value unchanged, and raises ValueError, TypeError or ArithmeticError
    for a text or a number that does not say what the annotation says.
    """
    found = {name: _converter(_resolve(spec)) for name, spec in specs.items()}
    return {name: convert for name, convert in found.items() if convert is not None}


def _resolve(spec: FieldSpec) -> object:
    """A field's annotation as a type; None where it names what exists for type checkers only."""
    module = vars(sys.modules[spec.owner.__module__]) if _has_module(spec.owner) else {}
    # Our own types come first in line, as the last resort: under `if TYPE_CHECKING` they are
    # imported nowhere.
    scope = {**_BY_NAME, **vars(spec.owner), **module}
    holder = type("Holder", (), {"__annotations__": {spec.name: spec.annotation}})
    try:
        hints = typing.get_type_hints(holder, scope, {}, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None
    return hints[spec.name]


def _has_module(owner: type) -> bool:
    return owner.__module__ in sys.modules


def _converter(annotation: Any) -> Convert | None:  # noqa: ANN401
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _converter(args[0])
    if origin in {Union, types.UnionType}:
        return _of_union(args)
    kind = origin or annotation
    if kind is dict:
        return _of_map(args)
    if kind is list or kind in _FROM_LIST:
        return _of_list(kind, args)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value if isinstance(value, kind) else kind(value)
    if kind not in _PARSERS:
        return None
    kinds, make = _PARSERS[kind]
    return lambda value: make(value) if type(value) in kinds else value


def _of_union(members: tuple[Any, ...]) -> Convert | None:
    """Of a type or None; of two types nobody knows which one was meant."""
    kinds = [kind for kind in members if kind is not types.NoneType]
    convert = _converter(kinds[0]) if len(kinds) == 1 else None
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)


def _of_list(kind: Any, args: tuple[Any, ...]) -> Convert | None:  # noqa: ANN401
    if kind is tuple and args and args[-1] is not Ellipsis:
        return _of_places([_converter(arg) for arg in args])
    item = _converter(args[0]) if args else None
    if item is None:
        return None if kind is list else lambda value: kind(value) if type(value) is list else value
    accepted = {list, kind}
    return lambda value: kind(map(item, value)) if type(value) in accepted else value


def _of_places(converts: list[Convert | None]) -> Convert:
    def convert(value: Any) -> Any:  # noqa: ANN401
        if type(value) not in {list, tuple} or len(value) != len(converts):
            return value
        pairs = zip(converts, value, strict=True)
        return tuple(part if make is None else make(part) for make, part in pairs)

    return convert


def _of_map(args: tuple[Any, ...]) -> Convert | None:
    key, part = (_converter(arg) or _same for arg in args) if len(args) == 2 else (_same, _same)
    if key is _same and part is _same:
        return None
    return lambda value: (
        {key(k): part(v) for k, v in value.items()} if type(value) is dict else value
    )


def _same(value: Any) -> Any:  # noqa: ANN401
    return value


_FROM_LIST = (tuple, set, frozenset)

_PARSERS: dict[Any, tuple[tuple[type, ...], Convert]] = {
    datetime: ((str,), datetime.fromisoformat),
    date: ((str,), date.fromisoformat),
    time: ((str,), time.fromisoformat),
    timedelta: ((int, float), lambda value: timedelta(seconds=value)),
    UUID: ((str,), UUID),
    Decimal: ((str, int, float), lambda value: Decimal(str(value))),
    bytes: ((str,), lambda value: b64decode(value, validate=True)),
    float: ((int,), float),
}

_BY_NAME: dict[str, object] = {kind.__name__: kind for kind in _PARSERS}
