"""Jobs that a worker gives back unstarted, many in one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

GivenBack = tuple[str, bytes]
"""The queue that a job was held for, and its envelope: not yet read, for one may be unreadable."""


def encode_given_back(jobs: Iterable[GivenBack]) -> bytes:
    """As a list of ``[queue, envelope]``."""
    return pack([[queue, envelope] for queue, envelope in jobs])


def decode_given_back(payload: bytes) -> list[GivenBack]:
    """From msgpack.

    Raises:
        UnreadableMessage: it is invalid; says what is wrong.
    """
    raw = unpack(payload)
    if type(raw) is not list:
        raise UnreadableMessage(f"jobs given back are a list, not {type(raw).__name__}")
    return [_job(item) for item in raw]


def _job(item: Any) -> GivenBack:  # noqa: ANN401 - whatever came
    if type(item) not in {list, tuple} or len(item) != 2:
        checks.refuse("a job given back", item, "[queue, envelope]")
    return _queue(item[0]), _envelope(item[1])


_queue = checks.queue("queue")
_envelope = checks.raw("envelope")
