"""Types of users' own: by a name, with functions to and from what can travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.signatures import takes
from routeq_mqtt.jobs.types.codec import Codec, WrongType
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TRAVELS = frozenset({
    bool, bytes, dict, float, frozenset, int, list, object, set, str, tuple, type(None),
})  # fmt: skip

_codecs: dict[type, Codec] = {}
_names: dict[str, type] = {}


def register_type(
    cls: type[T],
    encode: Callable[[T], Any],
    decode: Callable[[Any], T],
    *,
    name: str | None = None,
) -> type[T]:
    """Let values of a class travel in fields, arguments and results that are annotated with it.

    ``register_type(Money, lambda money: str(money), Money.parse)``

    Every process that dispatches or runs such jobs registers it. Messages carry what `encode`
    returned, and never the name of a class or module to import.

    Args:
        cls: the class; its subclasses are encoded alike.
        encode: makes of a value what can travel: numbers, text, bytes, lists, maps and the like.
        decode: makes a value of that again; what it raises makes a message unreadable.
        name: of the type, in messages where an annotation allows several types; default: the
            class's name.

    Returns:
        The class.

    Raises:
        ConfigurationError: an argument makes no sense, or another class has the name.
    """
    if not isinstance(cls, type):
        raise ConfigurationError(f"register_type: {shown(cls)} must be a class")
    if cls in _TRAVELS:
        raise ConfigurationError(
            f"register_type: {cls.__name__} travels as it is; register a class of your own"
        )
    for what, function in (("encode", encode), ("decode", decode)):
        if not takes(function, 1):
            raise ConfigurationError(
                f"register_type: {what}={shown(function)} must be a function of one argument"
            )
    chosen = cls.__name__ if name is None else name
    if not isinstance(chosen, str) or not 0 < len(chosen) <= _LONGEST or not chosen.isprintable():
        raise ConfigurationError(
            f"register_type: name={shown(chosen)} must be a printable text of 1 to {_LONGEST} "
            "characters"
        )
    other = _names.get(chosen)
    if other is not None and (other.__module__, other.__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise ConfigurationError(
            f"register_type: name={chosen!r} is taken by {other.__module__}.{other.__qualname__}; "
            "give this one another name: name=…"
        )

    def check_and_encode(value: Any, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, cls):
            raise WrongType(path, chosen, value)
        return encode(value)

    _names[chosen] = cls
    _codecs[cls] = Codec(chosen, encode=check_and_encode, decode=decode, native=False)
    return cls


_LONGEST = 200


def registered(cls: Any) -> Codec | None:  # noqa: ANN401 - any annotation
    """The codec of a registered class, or of its nearest such base; None: there is none."""
    if not _codecs or not isinstance(cls, type):
        return None
    return next((_codecs[base] for base in cls.__mro__ if base in _codecs), None)
