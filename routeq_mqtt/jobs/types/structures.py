"""Classes of named parts: data classes, attrs, pydantic models, named tuples, typed dictionaries.

They travel as maps of their parts (a named tuple as a tuple); the class is the one of the
annotation, never one that a message names. attrs and pydantic are recognised by what they leave on
their classes, so neither is imported here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, is_typeddict

from routeq_mqtt.errors import PackingError
from routeq_mqtt.jobs.types.codec import Codec, WrongType
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable

Parts = dict[str, Codec]


def is_model(kind: type) -> bool:
    """Whether it is a pydantic model, of its version 2."""
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate")


def is_structure(kind: type) -> bool:
    """Whether a class has named parts that are known."""
    return (
        dataclasses.is_dataclass(kind)
        or "__attrs_attrs__" in vars(kind)
        or is_typeddict(kind)
        or is_named_tuple(kind)
    )


def is_named_tuple(kind: type) -> bool:
    """Whether it is a class of `typing.NamedTuple`, or of `collections.namedtuple`."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def structure(kind: type, parts: Parts, needed: set[str]) -> Codec:
    """The codec of a class with named parts.

    Args:
        kind: the class.
        parts: the codec of each part; filled in later, since a class may contain itself.
        needed: the keys that a typed dictionary must have; filled in later, too.
    """
    if is_typeddict(kind):
        return _typed_dict(kind, parts, needed)
    if is_named_tuple(kind):
        return _named_tuple(kind, parts)
    return _class_of(kind, parts)


def arguments(kind: type) -> dict[str, str]:
    """Names of the parts that travel, each with its name in the constructor."""
    if "__attrs_attrs__" in vars(kind):
        made = vars(kind)["__attrs_attrs__"]
        return {part.name: part.alias or part.name for part in made if part.init}
    if dataclasses.is_dataclass(kind):
        return {part.name: part.name for part in dataclasses.fields(kind) if part.init}
    if is_named_tuple(kind):
        return {name: name for name in kind._fields}  # type: ignore[attr-defined]
    return {name: name for name in kind.__annotations__}


def _class_of(kind: type, parts: Parts) -> Codec:
    names = arguments(kind)

    def encode(value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, kind):
            raise WrongType(path, kind.__name__, value)
        return {name: parts[name].encoded(getattr(value, name), f"{path}.{name}") for name in names}

    def decode(value: Any) -> Any:  # noqa: ANN401
        given = _checked_map(kind, value, names)
        return kind(**{names[name]: _part(parts, name, part) for name, part in given.items()})

    return Codec(kind.__name__, encode=encode, decode=decode, native=False)


def _named_tuple(kind: Any, parts: Parts) -> Codec:  # noqa: ANN401
    names = list(arguments(kind))

    def encode(value: Any, path: str) -> tuple[Any, ...]:  # noqa: ANN401
        if not isinstance(value, kind):
            raise WrongType(path, kind.__name__, value)
        return tuple(
            parts[name].encoded(part, f"{path}.{name}")
            for name, part in zip(names, value, strict=True)
        )

    def decode(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list | tuple):
            if len(value) > len(names):
                raise ValueError(f"{kind.__name__} has {len(names)} parts, not {len(value)}")
            value = dict(zip(names, value, strict=False))
        given = _checked_map(kind, value, names)
        return kind(**{name: _part(parts, name, part) for name, part in given.items()})

    return Codec(kind.__name__, encode=encode, decode=decode, native=False)


def _typed_dict(kind: Any, parts: Parts, needed: set[str]) -> Codec:  # noqa: ANN401
    def encode(value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise WrongType(path, kind.__name__, value)
        wrong = _misfit(kind, value, parts, needed)
        if wrong is not None:
            raise PackingError(f"{path}: {wrong}")
        return {name: parts[name].encoded(part, f"{path}.{name}") for name, part in value.items()}

    def decode(value: Any) -> Any:  # noqa: ANN401
        given = _checked_map(kind, value, parts)
        wrong = _misfit(kind, given, parts, needed)
        if wrong is not None:
            raise ValueError(wrong)
        return {name: _part(parts, name, part) for name, part in given.items()}

    return Codec(kind.__name__, encode=encode, decode=decode, native=False)


def model(kind: Any, plain: Callable[[Any, str], Any]) -> Codec:  # noqa: ANN401
    """The codec of a pydantic model: validated where it is sent, and where it arrives.

    Args:
        kind: the model.
        plain: makes of a value without an annotation what can travel.
    """

    def encode(value: Any, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, kind):
            raise WrongType(path, kind.__name__, value)
        made = type(value)
        said = plain(made.model_dump(value, by_alias=True), path)
        try:
            made.model_validate(said)
        except ValueError as error:
            raise PackingError(f"{path}: {_words(error)}") from None
        return said

    def decode(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, kind):
            return value
        try:
            return kind.model_validate(value)
        except ValueError as error:
            raise ValueError(_words(error)) from None

    return Codec(kind.__name__, encode=encode, decode=decode, native=False)


def _words(error: ValueError) -> str:
    """What pydantic found, without the values: they may be secret."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    found = [
        f"{'.'.join(map(str, one['loc'])) or 'value'}: {one['msg']}"
        for one in listed(include_url=False, include_input=False, include_context=False)
    ]
    return "; ".join(found[:5])


def _checked_map(kind: type, value: object, names: Any) -> Mapping[str, Any]:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise TypeError(f"{kind.__name__} is made of a map, not of {type(value).__name__}")
    wrong = _misfit(kind, value, names, ())
    if wrong is not None:
        raise ValueError(wrong)
    return value


def _misfit(kind: type, value: Mapping[Any, Any], names: Any, needed: Any) -> str | None:  # noqa: ANN401
    unknown = [name for name in value if name not in names]
    if unknown:
        return f"{kind.__name__} has no part {shown(unknown[0])}"
    missing = [name for name in needed if name not in value]
    return f"{kind.__name__} needs {', '.join(sorted(map(repr, missing)))}" if missing else None


def _part(parts: Parts, name: str, value: Any) -> Any:  # noqa: ANN401
    try:
        return parts[name].decoded(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from None
