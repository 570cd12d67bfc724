"""Lists, tuples, sets and maps of other types; unions and literals."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from routeq_mqtt.jobs.types.codec import Codec, WrongType
from routeq_mqtt.wire.packing import pack

TAG, VALUE = "$type", "$value"
"""The keys of a value whose annotation allows several types, and whose own is not in its bytes."""

_FROM_LIST = (tuple, set, frozenset)


def many(kind: Any, name: str, item: Codec) -> Codec:  # noqa: ANN401
    """Some items of one type.

    Args:
        kind: list, tuple, set, frozenset; or Sequence, of which a list is made.
        name: of the whole type.
        item: of the items.
    """
    accepted: Any = (list, tuple) if kind is Sequence else kind
    made: Any = list if kind is Sequence else kind
    exact = {item.exact}

    def encode(value: Any, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, accepted):
            raise WrongType(path, name, value)
        if item.encode is None or {*map(type, value)} <= exact:
            return value
        parts = [item.encode(part, f"{path}[{n}]") for n, part in enumerate(value)]
        if item.native:
            return value
        if made in {set, frozenset}:
            return _as_set(made, parts)
        return tuple(parts) if made is tuple else parts

    part = item.decode
    if part is None and made is list:
        return Codec(name, encode=encode, native=item.native)
    accepts = {list, tuple, made}

    def decode(value: Any) -> Any:  # noqa: ANN401
        if type(value) not in accepts:
            return value
        if part is None:
            return made(value) if type(value) is list else value
        return made(map(part, value))

    return Codec(name, encode=encode, decode=decode, native=item.native)


def deque_of(name: str, item: Codec) -> Codec:
    """A deque, which travels as a list."""

    def encode(value: Any, path: str) -> list[Any]:  # noqa: ANN401
        if not isinstance(value, deque):
            raise WrongType(path, name, value)
        return [item.encoded(part, f"{path}[{n}]") for n, part in enumerate(value)]

    def decode(value: Any) -> Any:  # noqa: ANN401
        return deque(map(item.decoded, value)) if type(value) in {list, tuple} else value

    return Codec(name, encode=encode, decode=decode, native=False)


def _as_set(made: Any, parts: list[Any]) -> Any:  # noqa: ANN401
    """A set; a list in one order where what is encoded has no hash: keys of jobs depend on it."""
    try:
        return made(parts)
    except TypeError:
        return sorted(parts, key=pack)


def places(name: str, items: list[Codec]) -> Codec:
    """A tuple of a fixed length, each item with a type of its own."""

    def encode(value: Any, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, tuple) or len(value) != len(items):
            raise WrongType(path, name, value)
        return tuple(
            item.encoded(part, f"{path}[{n}]")
            for n, (item, part) in enumerate(zip(items, value, strict=True))
        )

    def decode(value: Any) -> Any:  # noqa: ANN401
        if type(value) not in {list, tuple} or len(value) != len(items):
            return value
        return tuple(item.decoded(part) for item, part in zip(items, value, strict=True))

    return Codec(name, encode=encode, decode=decode, native=all(item.native for item in items))


def map_of(
    kind: Any,  # noqa: ANN401
    name: str,
    key: Codec,
    part: Codec,
    make: Callable[[dict[Any, Any]], Any] | None = None,
) -> Codec:
    """A map.

    Args:
        kind: of which a value is one.
        name: of the whole type.
        key: of the keys.
        part: of the values.
        make: makes it of a dict; default: it is one.
    """
    native = key.native and part.native and make is None
    keys, parts = {key.exact}, {part.exact}

    def encode(value: Any, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, kind):
            raise WrongType(path, name, value)
        if (key.encode is None or {*map(type, value)} <= keys) and (
            part.encode is None or {*map(type, value.values())} <= parts
        ):
            return value
        made = {
            key.encoded(k, f"{path}, a key"): part.encoded(v, f"{path}[{k!r:.80}]")
            for k, v in value.items()
        }
        return value if native else made

    if key.decode is None and part.decode is None and make is None:
        return Codec(name, encode=encode, native=native)

    def decode(value: Any) -> Any:  # noqa: ANN401
        if type(value) is not dict:
            return value
        made = {key.decoded(k): part.decoded(v) for k, v in value.items()}
        return made if make is None else make(made)

    return Codec(name, encode=encode, decode=decode, native=native)


def optional(member: Codec) -> Codec:
    """A type or None."""
    encode, decode = member.encode, member.decode
    return Codec(
        f"{member.name} | None",
        exact=member.exact,
        encode=None
        if encode is None
        else lambda value, path: None if value is None else encode(value, path),
        decode=None if decode is None else lambda value: None if value is None else decode(value),
        native=member.native,
    )


class _Union:
    """One of several types."""

    def __init__(self, members: list[Codec], *, none: bool) -> None:
        self._members = members
        self._none = none
        self._labels = _labels(members)
        # A member of a StrEnum is a str, too, and a named tuple a tuple: the closer type is first.
        self._tried = sorted(self._labels.items(), key=lambda one: one[1].native)
        self.native = all(member.native for member in members)
        self.name = " | ".join([*(one.name for one in members), *(["None"] if none else [])])

    def encode(self, value: Any, path: str) -> Any:  # noqa: ANN401
        """What travels: tagged where its own type is not in its bytes."""
        if value is None and self._none:
            return None
        for member in self._members:
            if member.exact is not None and type(value) is member.exact:
                return value
        for label, member in self._tried:
            try:
                made = member.encoded(value, path)
            except WrongType:
                continue
            return made if member.native else {TAG: label, VALUE: made}
        raise WrongType(path, self.name, value)

    def decode(self, value: Any) -> Any:  # noqa: ANN401
        """The value; without a tag it is of the first type that it fits."""
        if value is None:
            return None
        if type(value) is dict and value.keys() == {TAG, VALUE}:
            member = self._labels.get(value[TAG]) if isinstance(value[TAG], str) else None
            if member is None:
                raise ValueError(f"no type of {self.name} has this name")
            return member.decoded(value[VALUE])
        if any(type(value) is member.exact for member in self._members):
            return value
        return _first_fitting(self._members, value)


def union(members: list[Codec], *, none: bool) -> Codec:
    """One of several types: a value that does not show its type by itself gets a tag.

    Where a message has no tag (another language sent it), the first member that it fits is taken.
    """
    made = _Union(members, none=none)
    decode = None if made.native else made.decode
    return Codec(made.name, encode=made.encode, decode=decode, native=made.native)


def _labels(members: list[Codec]) -> dict[str, Codec]:
    labels: dict[str, Codec] = {}
    for member in members:
        label, number = member.name, 1
        while label in labels:
            number += 1
            label = f"{member.name} {number}"
        labels[label] = member
    return labels


def _first_fitting(members: list[Codec], value: Any) -> Any:  # noqa: ANN401
    why = ""
    for member in members:
        if member.native:
            continue
        try:
            return member.decoded(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            why = why or str(error)
    if any(member.native for member in members):
        return value
    raise ValueError(why)


def literal(values: tuple[Any, ...]) -> Codec:
    """One of some values."""
    name = f"one of {', '.join(map(repr, values))}"
    plain = [value.value if isinstance(value, Enum) else value for value in values]
    native = not any(isinstance(value, Enum) for value in values)

    def encode(value: Any, path: str) -> Any:  # noqa: ANN401
        for wanted, travels in zip(values, plain, strict=True):
            if value == wanted and type(value) is type(wanted):
                return travels
        raise WrongType(path, name, value)

    def decode(value: Any) -> Any:  # noqa: ANN401
        for wanted, travels in zip(values, plain, strict=True):
            if value == travels and type(value) is type(travels):
                return wanted
        raise ValueError(f"it must be {name}")

    return Codec(name, encode=encode, decode=decode, native=native)
