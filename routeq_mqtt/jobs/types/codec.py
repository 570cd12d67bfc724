"""How values of one type travel: what checks and encodes them, and what decodes them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from routeq_mqtt.errors import PackingError
from routeq_mqtt.wire.display import shown

Encode = Callable[[Any, str], Any]
"""Of a value and its path: what travels. Raises `WrongType`."""

Decode = Callable[[Any], Any]
"""Of what has travelled: the value. Raises ValueError, TypeError or ArithmeticError."""


class WrongType(PackingError):
    """A value is not what its annotation says."""

    def __init__(self, path: str, wanted: str, value: object) -> None:
        super().__init__(f"{path}: {type(value).__name__} {shown(value)} is not {wanted}")


@dataclass(frozen=True, slots=True)
class Codec:
    """Of one type.

    Attributes:
        name: of the type, for people, and in the tag of a union.
        exact: values of exactly this type travel as they are; None: there is no such type.
        encode: checks a value, and makes of it what travels; None: anything travels as it is.
        decode: makes a value of what has travelled; None: it is the value.
        native: what is encoded is the value itself.
    """

    name: str
    exact: type | None = None
    encode: Encode | None = None
    decode: Decode | None = None
    native: bool = True

    def encoded(self, value: Any, path: str) -> Any:  # noqa: ANN401
        """What travels of a value."""
        return value if self.encode is None else self.encode(value, path)

    def decoded(self, value: Any) -> Any:  # noqa: ANN401
        """The value of what has travelled."""
        return value if self.decode is None else self.decode(value)


ANYTHING = Codec("value")
"""Of what is not annotated, or as something that we do not know."""
