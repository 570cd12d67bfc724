"""The envelope: what travels. A table of its fields is in `docs/wire-format.md`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage, UnsupportedVersion
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
_JSON = b"{"
_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One job on its way.

    Attributes:
        v: format version.
        id: unique; None until first touch where a device sent none.
        job: the registered name of the job class.
        data: the job's public attributes.
        queue: where it belongs.
        attempt: 1-based; counts runs that started.
        deliveries: how often a worker was given it by us; tells copies apart.
        deaths: how many workers died while they ran it.
        max_tries, timeout, retry_after, backoff: override the class's own.
        delay: seconds; run it that long after the scheduler gets it.
        dispatched_at, run_at, expires_at: UTC epoch seconds.
        stored: a row in the scheduler waits for the outcome.
        headers: trace context, tenant, anything.
        errors: of each attempt so far, for the failed record.
        extra: fields that this version does not know, kept.
    """

    v: int = VERSION
    id: str | None = None
    job: str
    data: dict[str, Any] = field(default_factory=dict)
    queue: str | None = None
    attempt: int = 1
    deliveries: int = 1
    deaths: int = 0
    max_tries: int | None = None
    timeout: float | None = None
    retry_after: float | None = None
    backoff: float | list[float] | None = None
    delay: float | None = None
    dispatched_at: float | None = None
    run_at: float | None = None
    expires_at: float | None = None
    stored: bool = False
    headers: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """As msgpack, without the fields that say nothing new.

        Raises:
            PackingError: something in `data` or `headers` cannot travel.
        """
        packed: dict[str, Any] = {"job": self.job}
        for name, default in _DEFAULTS:
            value = getattr(self, name)
            if value != default:
                packed[name] = value
        if self.extra:
            packed |= self.extra
        return pack(packed)

    @classmethod
    def decode(cls, payload: bytes) -> Envelope:
        """From msgpack, or from JSON where the first character is ``{``.

        Raises:
            UnsupportedVersion: the envelope is of a later version.
            UnreadableMessage: it is no envelope; says which field is wrong, and how.
        """
        raw = _read(payload)
        if raw.get("v", VERSION) != VERSION:
            _check_version(raw["v"])
        if "job" not in raw:
            raise UnreadableMessage("the field `job`, the name of the job, is missing")
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in raw.items():
            check = _CHECKS.get(name)
            if check is None:
                extra[name] = value
            elif value is not None:
                known[name] = check(value)
        if "job" not in known:
            checks.refuse("job", None, "a text of 1 to 200 characters")
        return cls(**known, extra=extra)

    def evolve(self, **changes: Any) -> Envelope:  # noqa: ANN401 - as dataclasses.replace
        """A copy with other values in some fields."""
        return replace(self, **changes)


def _read(payload: bytes) -> dict[str, Any]:
    if payload[:1] == _JSON or payload.lstrip(_SPACE)[:1] == _JSON:
        try:
            raw = json.loads(payload, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise UnreadableMessage(f"no JSON: {str(error)[:200]}") from None
    else:
        raw = unpack(payload)
    if type(raw) is not dict:
        raise UnreadableMessage(f"an envelope is a map, not {type(raw).__name__}")
    if not all(type(key) is str for key in raw):
        raise UnreadableMessage("the keys of an envelope are texts")
    return raw


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _check_version(version: object) -> None:
    if type(version) is not int or version < 1:
        checks.refuse("v", version, "a whole number, 1 or more")
    if isinstance(version, int) and version > VERSION:
        raise UnsupportedVersion(
            f"the envelope is of format version {version}; this library knows {VERSION}: upgrade it"
        )


_CHECKS: dict[str, Callable[[Any], object]] = {
    "v": lambda value: value,
    "id": lambda value: checks.text("id", value, 200),
    "job": lambda value: checks.text("job", value, 200),
    "data": lambda value: checks.text_map("data", value),
    "queue": lambda value: checks.queue("queue", value),
    "attempt": lambda value: checks.count("attempt", value, 1),
    "deliveries": lambda value: checks.count("deliveries", value, 1),
    "deaths": lambda value: checks.count("deaths", value, 0),
    "max_tries": lambda value: checks.count("max_tries", value, 1),
    "timeout": lambda value: checks.seconds("timeout", value),
    "retry_after": lambda value: checks.seconds("retry_after", value),
    "backoff": lambda value: checks.waits("backoff", value),
    "delay": lambda value: checks.seconds("delay", value),
    "dispatched_at": lambda value: checks.epoch("dispatched_at", value),
    "run_at": lambda value: checks.epoch("run_at", value),
    "expires_at": lambda value: checks.epoch("expires_at", value),
    "stored": lambda value: checks.boolean("stored", value),
    "headers": lambda value: checks.text_map("headers", value),
    "errors": lambda value: checks.maps("errors", value),
}

_EMPTY: dict[str, object] = {"data": {}, "headers": {}, "errors": []}

_DEFAULTS: list[tuple[str, object]] = [
    (spec.name, _EMPTY.get(spec.name, spec.default))
    for spec in fields(Envelope)
    if spec.name not in {"job", "extra"}
]
