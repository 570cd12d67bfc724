"""What every request to the scheduler is: arguments that are checked, and a reply that is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_origin

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages import replies
from routeq_mqtt.wire.messages.asking import NO_REPLY, ReplyTo
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


_READERS: dict[Any, Callable[[Any], Any]] = {
    type(None): lambda _: None,
    str: replies.read_text,
    float: replies.read_time,
    bool: replies.read_flag,
    list[str]: replies.read_texts,
    dict[str, replies.Fate]: replies.read_fates,
}


def _reader_of(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - a type
    """What reads a reply of a type: one above, a reply's dataclass, a list or a map of them."""
    if kind in _READERS:
        return _READERS[kind]
    if get_origin(kind) is list:
        return partial(replies.read_list, *get_args(kind))
    if get_origin(kind) is dict:
        return partial(replies.read_map_of, get_args(kind)[1])
    return partial(replies.read, kind)


@dataclass(frozen=True, kw_only=True)
class Request(Generic[R]):
    """What is asked of the scheduler; `R` is the type of the reply, and decides how it is read.

    Attributes:
        METHOD: its name on the wire.
        CHECKS: of its arguments.
        REPLY: what is replied, in words.
        ABOUT_JOBS: the answer depends on jobs that may have come a moment ago: it waits for them.
            Others do not: a scheduler whose disk is full still tells how it is.
        READER: of the reply; taken from the type in ``Request[…]``.
        ACTS: it changes something: the scheduler keeps a line of it in the audit log.
    """

    METHOD: ClassVar[str]
    CHECKS: ClassVar[dict[str, checks.Check]] = {}
    REPLY: ClassVar[str] = "null"
    ABOUT_JOBS: ClassVar[bool] = False
    ACTS: ClassVar[bool] = False
    READER: ClassVar[Callable[[Any], Any]]

    def __init_subclass__(cls) -> None:
        """Take how the reply is read from the type in ``Request[…]``."""
        [kind] = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        cls.READER = _reader_of(kind)

    def args(self) -> dict[str, Any]:
        """The arguments as they travel."""
        return asdict(self)

    def checked_args(self) -> dict[str, Any]:
        """The arguments as they travel, checked as the scheduler will check them.

        Raises:
            ConfigurationError: the scheduler would refuse one; names the method and the argument.
        """
        args = self.args()
        try:
            checks.read_fields(args, self.CHECKS)
        except UnreadableMessage as error:
            raise ConfigurationError(f"{self.METHOD}: {error}") from None
        return args

    def encode(self, reply: ReplyTo = NO_REPLY) -> bytes:
        """As msgpack; without a reply topic no answer is wanted."""
        return pack({"reply": reply.topic, "id": reply.id, "args": self.args()})

    def read_reply(self, result: Any) -> R:  # noqa: ANN401 - whatever came
        """The reply.

        Raises:
            UnreadableMessage: it is not one of this request.
        """
        return type(self).READER(result)  # type: ignore[no-any-return]
