"""The codec of an annotation.

What JSON has in the place of a type (a text for a date, a list for a set) is made that type where a
job arrives. What is not annotated, or as a class that we do not know, travels as it is.
"""

from __future__ import annotations

import sys
import types
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, Unpack, get_args, get_origin

from routeq_mqtt.jobs.types.codec import ANYTHING, Codec
from routeq_mqtt.jobs.types.containers import (
    deque_of,
    literal,
    many,
    map_of,
    optional,
    places,
    union,
)
from routeq_mqtt.jobs.types.natives import NATIVES, NONE, enumeration, only_none
from routeq_mqtt.jobs.types.registered import registered
from routeq_mqtt.jobs.types.structures import (
    arguments,
    is_model,
    is_structure,
    model,
    structure,
)

if typing.TYPE_CHECKING:
    from routeq_mqtt.jobs.fields import FieldSpec

_LISTS: dict[Any, type] = {
    list: list, MutableSequence: list, Iterable: Sequence, Sequence: Sequence,
    tuple: tuple, set: set, frozenset: frozenset, AbstractSet: set,
}  # fmt: skip

_MAPS: dict[Any, type] = {
    dict: dict, Mapping: Mapping, MutableMapping: Mapping, OrderedDict: dict, defaultdict: dict,
    Counter: Counter,
}  # fmt: skip


_EMPTY = frozenset({bool, bytes, dict, float, frozenset, int, list, set, str, tuple})
"""What a defaultdict makes of nothing, by the type of its values."""


def codec_of_field(spec: FieldSpec, job_class: type) -> Codec:
    """The codec of a field's annotation, in a class that has or inherits the field."""
    return codec_of(_chosen(_resolve(spec), spec.owner, job_class))


def type_of(spec: FieldSpec) -> object:
    """The type that a field is annotated as; of ``T | None``, and of ``Annotated``, it is T."""
    annotation: Any = _resolve(spec)
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in {Union, types.UnionType}:
        kinds = [kind for kind in get_args(annotation) if kind is not types.NoneType]
        annotation = kinds[0] if len(kinds) == 1 else None
    return annotation


def codec_of_result(function: Any, owner: type) -> Codec:  # noqa: ANN401 - a user's `handle`
    """The codec of what a function returns, as far as it is annotated."""
    function = getattr(function, "__func__", function)  # of a static method
    said = getattr(function, "__annotations__", {}).get("return", Any)
    home = next((base for base in owner.__mro__ if "handle" in vars(base)), owner)
    return codec_of(_chosen(_resolved("return", said, owner), home, owner))


def _resolve(spec: FieldSpec) -> object:
    return _resolved(spec.name, spec.annotation, spec.owner)


def _resolved(name: str, annotation: object, owner: type) -> object:
    """An annotation as a type; Any where it names what exists for type checkers only."""
    module = sys.modules.get(owner.__module__)
    # Our own types come first in line, as the last resort: under `if TYPE_CHECKING` they are
    # imported nowhere.
    scope = {**_BY_NAME, **vars(owner), **(vars(module) if module is not None else {})}
    holder = type("DeliverySource", (), {"__annotations__": {name: annotation}})
    try:
        hints = typing.get_type_hints(holder, scope, {}, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any
    return hints[name]


def _chosen(annotation: Any, home: type, job_class: type) -> Any:  # noqa: ANN401
    """An annotation of a generic base with what a class below it says its variables are."""
    if not isinstance(annotation, TypeVar) and not getattr(annotation, "__parameters__", ()):
        return annotation
    known: dict[Any, dict[Any, Any]] = {}
    for kind in job_class.__mro__:
        for base in vars(kind).get("__orig_bases__", ()):
            names = getattr(get_origin(base), "__parameters__", ())
            said = [_filled_in(arg, known.get(kind, {})) for arg in get_args(base)]
            known.setdefault(get_origin(base), dict(zip(names, said, strict=False)))
    return _filled_in(annotation, known.get(home, {}))


def codec_of(annotation: object) -> Codec:
    """The codec of an annotation."""
    return _Builder().build(annotation)


class _Builder:
    """Builds codecs; a class that contains itself is built once."""

    def __init__(self) -> None:
        self._structures: dict[Any, Codec] = {}

    def build(self, annotation: Any) -> Codec:  # noqa: ANN401 - one line for each kind
        origin, args = get_origin(annotation), get_args(annotation)
        if annotation is None or annotation is types.NoneType:
            return Codec(NONE.name, exact=NONE.exact, encode=only_none)
        if origin is Annotated:
            return self.build(args[0])
        if origin is Literal:
            return literal(args)
        if origin in {Union, types.UnionType}:
            return self._union(args)
        if isinstance(annotation, NewType):
            return self.build(annotation.__supertype__)
        if hasattr(annotation, "__value__"):  # `type X = …`
            return self.build(annotation.__value__)
        kind = origin or annotation
        found = registered(kind) or NATIVES.get(kind)
        if found is not None:
            return found
        if kind in _LISTS or kind in _MAPS or kind is deque:
            return self._container(kind, args)
        return self._class(annotation, kind, args) if isinstance(kind, type) else ANYTHING

    def _union(self, args: tuple[Any, ...]) -> Codec:
        kinds = [kind for kind in args if kind is not types.NoneType]
        members = [self.build(kind) for kind in kinds]
        if any(member is ANYTHING for member in members):
            return ANYTHING
        if len(members) == 1:
            return optional(members[0])
        return union(members, none=len(kinds) < len(args))

    def _container(self, kind: Any, args: tuple[Any, ...]) -> Codec:  # noqa: ANN401
        name = _name(kind, args)
        if kind is deque:
            return deque_of(name, self.build(args[0]) if args else ANYTHING)
        if kind is Counter:
            args = (args[0] if args else Any, int)
        if kind in _MAPS:
            key, part = map(self.build, args) if len(args) == 2 else (ANYTHING, ANYTHING)
            return map_of(_MAPS[kind], name, key, part, _maker(kind, args))
        if any(get_origin(arg) is Unpack for arg in args):  # tuple[int, *tuple[str, ...]]
            return many(tuple, name, ANYTHING)
        if kind is tuple and args and args[-1] is not Ellipsis:
            return places(name, [self.build(arg) for arg in args])
        return many(_LISTS[kind], name, self.build(args[0]) if args else ANYTHING)

    def _class(self, annotation: Any, kind: type, args: tuple[Any, ...]) -> Codec:  # noqa: ANN401
        if issubclass(kind, Enum):
            return enumeration(kind)
        if is_model(kind):
            return model(annotation if args else kind, plain)
        if not is_structure(kind):
            return ANYTHING
        if annotation in self._structures:
            return self._structures[annotation]
        parts: dict[str, Codec] = {}
        needed: set[str] = set()
        made = self._structures[annotation] = structure(kind, parts, needed)
        hints = _hints(kind)
        parts.update(self._parts(kind, args, hints))
        needed.update(name for name in parts if _is_needed(kind, name, hints))
        return made

    def _parts(self, kind: Any, args: tuple[Any, ...], hints: dict[str, Any]) -> dict[str, Codec]:  # noqa: ANN401
        names = arguments(kind)
        chosen = dict(zip(getattr(kind, "__parameters__", ()), args, strict=False))
        said = {name: _filled_in(_stripped(hints.get(name, Any)), chosen) for name in names}
        return {name: self.build(hint) for name, hint in said.items()}


def _maker(kind: Any, args: tuple[Any, ...]) -> Callable[[dict[Any, Any]], Any] | None:  # noqa: ANN401
    """What makes a map of another class of a dict; None: it is a dict."""
    if kind is not defaultdict:
        return kind if kind in {Counter, OrderedDict} else None
    made = get_origin(args[1]) or args[1] if len(args) == 2 else None
    factory = made if made in _EMPTY else None
    return lambda value: defaultdict(factory, value)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}


def _is_needed(kind: Any, name: str, hints: Mapping[str, Any]) -> bool:  # noqa: ANN401
    """Whether a typed dictionary must have a key: its own record misses unevaluated annotations."""
    said = get_origin(hints.get(name))
    if said in {typing.Required, typing.NotRequired}:
        return said is typing.Required
    return name in getattr(kind, "__required_keys__", ())


def _stripped(hint: Any) -> Any:  # noqa: ANN401
    """Without what only says whether a part must be there."""
    if get_origin(hint) in {typing.Required, typing.NotRequired}:
        return get_args(hint)[0]
    return hint


def _filled_in(hint: Any, chosen: Mapping[Any, Any]) -> Any:  # noqa: ANN401
    """An annotation with the type variables of a generic class filled in."""
    if isinstance(hint, TypeVar):
        return chosen.get(hint, Any)
    variables = getattr(hint, "__parameters__", ())
    if not variables or isinstance(hint, type):
        return hint
    return hint[tuple(chosen.get(variable, Any) for variable in variables)]


def plain(value: Any, path: str) -> Any:  # noqa: ANN401
    """What travels of a value without an annotation, inside a pydantic model."""
    if isinstance(value, dict):
        return {plain(k, path): plain(part, f"{path}.{k}") for k, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [plain(part, f"{path}[{n}]") for n, part in enumerate(value)]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, Enum):
        return plain(value.value, path)
    found = registered(type(value)) or NATIVES.get(type(value))
    return value if found is None else found.encoded(value, path)


def _name(kind: Any, args: tuple[Any, ...]) -> str:  # noqa: ANN401
    inner = ", ".join(
        "…" if arg is Ellipsis else getattr(arg, "__name__", str(arg)) for arg in args
    )
    return f"{kind.__name__}[{inner}]" if args else str(kind.__name__)


_BY_NAME: dict[str, object] = {kind.__name__: kind for kind in NATIVES}
