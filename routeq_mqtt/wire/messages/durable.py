"""Durable dispatch: envelopes that the scheduler commits before it replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages.asking import ReplyTo, read_request
from routeq_mqtt.wire.packing import pack


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPart:
    """The batch that a durable dispatch begins, or adds to.

    Attributes:
        id: of the batch.
        name: what it is called.
        open: more of its jobs come in other messages.
    """

    id: str
    name: str | None = None
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableDispatch:
    """What a producer wants to be stored.

    Attributes:
        reply: where the ids go.
        envelopes: not yet read: one of them may be unreadable, and the others are not to blame.
        batch: that they are part of.
    """

    reply: ReplyTo
    envelopes: list[bytes]
    batch: BatchPart | None = None

    @classmethod
    def decode(cls, payload: bytes) -> DurableDispatch:
        """From msgpack or JSON.

        Raises:
            UnreadableMessage: it is invalid; says what is wrong.
        """
        request = read_request(payload)
        args, batch = request.args, request.more.get("batch")
        if type(args) is not list:
            raise UnreadableMessage("a durable dispatch is a map with `args`, a list of envelopes")
        return cls(
            reply=request.reply,
            envelopes=[_envelope(one) for one in args],
            batch=None if batch is None else _batch(batch),
        )


def _envelope(value: Any) -> bytes:  # noqa: ANN401 - whatever came
    """Bytes in msgpack; in JSON the envelope itself, or its text."""
    if type(value) is dict:
        return pack(value)
    if type(value) is str:
        return value.encode()
    return _bytes(value)  # type: ignore[no-any-return]


def _batch(value: Any) -> BatchPart:  # noqa: ANN401 - whatever came
    if type(value) is not dict:
        checks.refuse("batch", value, "a map with the `id` of the batch")
    values = checks.read_fields(value, _BATCH)
    if "id" not in values:
        raise UnreadableMessage("`batch` is a map with the `id` of the batch")
    return BatchPart(**values)


_bytes = checks.raw("an envelope")
_BATCH: dict[str, checks.Check] = {
    "id": checks.text("batch: id", 200),
    "name": checks.words("batch: name", 1_000),
    "open": checks.boolean("batch: open"),
}
