"""A request and its reply: who asked, where the answer goes, and which request it answers.

Reply topic and correlation travel in the payload, so that it works on MQTT 3.1.1, too. Who asks in
JSON is answered in JSON.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.display import readable
from routeq_mqtt.wire.maps import is_json, read_map
from routeq_mqtt.wire.packing import pack


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo:
    """Where an answer goes.

    Attributes:
        topic: None: no answer is wanted.
        id: what the answer repeats, so that it is known which request it belongs to.
        as_json: the request came in JSON.
    """

    topic: str | None = None
    id: Any = None
    as_json: bool = False

    def encode(self, *, result: object = None, error: str = "") -> bytes:
        """The answer, in the format of the request: a map of `id` and `result`, or `error`.

        In JSON, bytes become base64, and values that JSON does not have become texts.
        """
        answer: dict[str, object] = {"id": self.id}
        answer |= {"error": readable(error)} if error else {"result": result}
        if not self.as_json:
            return pack(answer)
        return readable(json.dumps(_plain(answer), ensure_ascii=False)).encode()


NO_REPLY = ReplyTo()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A request whose arguments have not been read yet.

    Attributes:
        args: the arguments.
        more: what stands beside them.
    """

    reply: ReplyTo
    args: Any
    more: dict[Any, Any]


def read_request(payload: bytes) -> RawRequest:
    """From msgpack or JSON: a map of `args`, `reply` (a topic) and `id`.

    Raises:
        UnreadableMessage: it is invalid, or its answer cannot be sent; says what is wrong.
    """
    raw = read_map(payload, "a request")
    topic, correlation = raw.get("reply"), raw.get("id")
    if correlation is not None and type(correlation) not in {str, int}:
        checks.refuse("id", correlation, "a text or a number")
    reply = ReplyTo(
        topic=_topic(topic) if topic else None, id=correlation, as_json=is_json(payload)
    )
    return RawRequest(reply=reply, args=raw.get("args"), more=raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back.

    Attributes:
        id: of the request.
        result: None, where there is an error.
        error: None, where there is none.
    """

    id: str
    result: Any = field(default=None)
    error: str | None = None

    @classmethod
    def decode(cls, payload: bytes) -> Reply:
        """From msgpack or JSON.

        Raises:
            UnreadableMessage: it is not a reply; says what is wrong.
        """
        raw = read_map(payload, "a reply")
        error = raw.get("error")
        if error is not None and type(error) is not str:
            checks.refuse("error", error, "a text")
        return cls(id=_correlation(raw.get("id")), result=raw.get("result"), error=error)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a job holds
    """As JSON has it."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has no NaN and no infinity
    return str(value)


def _topic(value: Any) -> str:  # noqa: ANN401 - whatever came
    topic: str = checks.text("reply", 1_000)(value)
    if "+" in topic or "#" in topic or topic.startswith("$"):
        checks.refuse("reply", value, "a topic that can be published to")
    return topic


_correlation = checks.text("id", 1_000)
