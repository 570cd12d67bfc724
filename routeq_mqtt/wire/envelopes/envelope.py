"""The envelope: what travels. A table of its fields is in `docs/wire-format.md`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage, UnsupportedVersion
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.envelopes.attempts import bounded
from routeq_mqtt.wire.envelopes.options import check_options
from routeq_mqtt.wire.maps import read_map
from routeq_mqtt.wire.names import check_queue_name
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
_LONGEST_NAME = 1_000
_LONGEST_ROW = 300
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
        row: names that row, and proves that the scheduler sent this; see `wire.rows`.
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
    row: str | None = None
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
            UnreadableMessage: it is not an envelope; says which field is wrong, and how.
        """
        raw = read_map(payload, "an envelope")
        if _USUAL.issuperset(raw) and _is_usual(raw):
            return _made({**_nothing(), **raw})
        _check_version(raw.get("v"))
        if raw.get("job") is None:
            raise UnreadableMessage(f"the field `job` is missing; it must be {_JOB}")
        values = _nothing()
        extra: dict[str, Any] = values["extra"]
        for name, value in raw.items():
            check = _CHECKS.get(name)
            if check is None:
                extra[name] = value
            elif value is not None:
                values[name] = check(value)
        if extra:
            _check_keys(extra)
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


_USUAL = frozenset({"id", "job", "data", "queue", "dispatched_at", "stored", "row"})
"""Fields of nearly all messages. Where one of them is not as it must be, `_CHECKS` say why."""

_NO_DATA: dict[str, Any] = {}


def _nothing() -> dict[str, Any]:
    """What an envelope holds in fields that are absent, where that is not the class's default."""
    return {"data": {}, "options": {}, "headers": {}, "errors": [], "extra": {}}


def _is_usual(raw: dict[str, Any]) -> bool:
    """Whether the usual fields are as `_CHECKS` want them, in one go."""
    get = raw.get
    job_id, job, queue, row = get("id", "-"), get("job"), get("queue", "-"), get("row", "-")
    at, data = get("dispatched_at", 0.0), get("data", _NO_DATA)
    return (
        (type(job_id) is str and 0 < len(job_id) <= 200 and job_id.isprintable())
        and (type(job) is str and 0 < len(job) <= 200 and job.isprintable())
        and (type(queue) is str and _is_queue(queue))
        and (type(row) is str and 0 < len(row) <= _LONGEST_ROW and row.isprintable())
        and (type(at) is float and -checks.LATEST < at < checks.LATEST)
        and type(get("stored", False)) is bool
        and type(data) is dict
        and all(type(key) is str and len(key) <= _LONGEST_NAME for key in data)
    )


@lru_cache(1_024)
def _is_queue(name: str) -> bool:
    try:
        check_queue_name(name, "queue")
    except ConfigurationError:
        return False
    return True


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
        if type(name) is not str or len(name) > _LONGEST_NAME:
            needed = f"a text of at most {_LONGEST_NAME} characters"
            checks.refuse("the name of a field", name, needed)


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
    "row": checks.text("row", _LONGEST_ROW),
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
