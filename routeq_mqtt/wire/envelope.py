"""The envelope: what travels. A table of its fields is in `docs/wire-format.md`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage, UnsupportedVersion
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.attempts import bounded
from routeq_mqtt.wire.options import check_options
from routeq_mqtt.wire.packing import ensure_packable, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
_JSON = b"{"
_SPACE = b" \t\r\n"
_JOB = "a printable text of 1 to 200 characters"


@dataclass(frozen=True, kw_only=True)  # no slots: a field that says nothing takes no room
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
        max_tries, timeout, retry_after, backoff: override the class's own; timeout 0: no limit.
        delay: seconds; run it that long after the scheduler gets it.
        dispatched_at, run_at, expires_at: UTC epoch seconds.
        stored: a row in the scheduler waits for the outcome.
        options: what only some jobs need, see `wire.options`.
        headers: trace context, tenant, anything.
        errors: of each attempt so far, for the failed record; bounded when encoded.
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
    options: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """As msgpack, without the fields that say nothing new.

        Raises:
            PackingError: something in `data` or `headers` cannot travel.
        """
        packed: dict[str, Any] = {**self.extra, "job": self.job}
        for name, default in _DEFAULTS:
            value = getattr(self, name)
            if value != default:
                packed[name] = value
        if self.errors:
            packed["errors"] = bounded(self.errors)
        return pack(packed)

    @classmethod
    def decode(cls, payload: bytes) -> Envelope:
        """From msgpack, or from JSON where the first character is ``{``.

        Raises:
            UnsupportedVersion: the envelope is of a later version.
            UnreadableMessage: it is no envelope; says which field is wrong, and how.
        """
        raw = _read(payload)
        _check_version(raw.get("v"))
        if raw.get("job") is None:
            raise UnreadableMessage(f"the field `job` is missing; it must be {_JOB}")
        values: dict[str, Any] = {"data": {}, "options": {}, "headers": {}, "errors": []}
        extra: dict[str, Any] = {}
        for name, value in raw.items():
            check = _CHECKS.get(name)
            if check is None:
                extra[name] = value
            elif value is not None:
                values[name] = check(value)
        if extra:
            _check_keys(extra)
        values["extra"] = extra
        return _made(values)

    def evolve(self, **changes: Any) -> Envelope:  # noqa: ANN401 - as dataclasses.replace
        """A copy with other values in some fields.

        Raises:
            TypeError: an envelope has no such field.
        """
        values = dict(zip(_NAMES, _READ(self), strict=True)) | changes
        if len(values) > len(_NAMES):
            raise TypeError(f"an envelope has no field {', '.join(changes.keys() - set(_NAMES))}")
        return _made(values)


def _read(payload: bytes) -> dict[str, Any]:
    # A map of msgpack begins with 0x80 or more, so only other messages are looked at twice.
    if payload[:1] < b"\x80" and payload.lstrip(_SPACE)[:1] == _JSON:
        raw = _read_json(payload)
    else:
        raw = unpack(payload)
    if type(raw) is not dict:
        raise UnreadableMessage(f"an envelope is a map, not {type(raw).__name__}")
    return raw


def _read_json(payload: bytes) -> object:
    try:
        raw = json.loads(payload.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableMessage(f"no JSON: {str(error)[:200]}") from None
    ensure_packable(raw)
    return raw


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _check_version(version: object) -> None:
    if version is None:
        return
    if type(version) is not int or version < 1:
        checks.refuse("v", version, "a whole number, 1 or more")
    if version > VERSION:
        raise UnsupportedVersion(
            f"the envelope is of format version {version}; this library knows {VERSION}: upgrade it"
        )


def _check_keys(extra: dict[Any, Any]) -> None:
    for name in extra:
        if type(name) is not str:
            checks.refuse("the name of a field", name, "a text")


def _made(values: dict[str, Any]) -> Envelope:
    """An envelope of checked values, the others absent; its own constructor costs much more."""
    envelope = object.__new__(Envelope)
    vars(envelope).update(values)
    return envelope


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "v": lambda value: value,
    "id": checks.text("id", 200),
    "job": checks.text("job", 200),
    "data": checks.text_map("data"),
    "queue": checks.queue("queue"),
    "attempt": checks.count("attempt", 1),
    "deliveries": checks.count("deliveries", 1),
    "deaths": checks.count("deaths", 0),
    "max_tries": checks.count("max_tries", 1),
    "timeout": checks.seconds("timeout"),
    "retry_after": checks.seconds("retry_after"),
    "backoff": checks.waits("backoff"),
    "delay": checks.seconds("delay"),
    "dispatched_at": checks.epoch("dispatched_at"),
    "run_at": checks.epoch("run_at"),
    "expires_at": checks.epoch("expires_at"),
    "stored": checks.boolean("stored"),
    "options": check_options,
    "headers": checks.text_map("headers"),
    "errors": checks.flat_maps("errors"),
}

_NAMES = [spec.name for spec in fields(Envelope)]
_READ = attrgetter(*_NAMES)
_ABSENT = {spec.name: spec.default for spec in fields(Envelope)}
_DEFAULTS: list[tuple[str, object]] = [
    (name, {} if name in {"data", "options", "headers"} else _ABSENT[name])
    for name in _NAMES
    if name not in {"job", "errors", "extra"}
]
