"""The map `options` of an envelope: what only some jobs need. The table is in the wire format.

A job without any of these has no such field, and costs nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.wire import checks

if TYPE_CHECKING:
    from collections.abc import Callable

_key = checks.text("options.limits: key", 200)
_slots = checks.count("options.limits: slots", 1)


def _limits(value: Any) -> None:  # noqa: ANN401 - whatever came
    if type(value) is not list or not all(type(limit) is dict for limit in value):
        checks.refuse("options.limits", value, "a list of maps")
    for limit in value:
        _key(limit.get("key"))
        if "rate" in limit:
            _rate(limit["rate"])
        else:
            _slots(limit.get("slots"))


def _rate(value: Any) -> None:  # noqa: ANN401 - whatever came
    fits = type(value) is list and [type(part) in {int, float} for part in value] == [True, True]
    if not fits or not value[0] >= 1 or not 0 < value[1] < 1e9:
        checks.refuse("options.limits: rate", value, "[jobs, seconds], of at least one job")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "retry_until": checks.epoch("options.retry_until"),
    "max_exceptions": checks.count("options.max_exceptions", 1),
    "exceptions": checks.count("options.exceptions", 0),
    "result_ttl": checks.seconds("options.result_ttl"),
    "fail_on_timeout": checks.boolean("options.fail_on_timeout"),
    "unique_key": checks.text("options.unique_key", 200),
    "unique_for": checks.seconds("options.unique_for"),
    "unique_until": checks.word("options.unique_until", "finished", "started"),
    "debounce_for": checks.seconds("options.debounce_for"),
    "throttle_for": checks.seconds("options.throttle_for"),
    "limits": _limits,
    "chain": checks.text("options.chain", 200),
    "step": checks.count("options.step", 0),
    "batch": checks.text("options.batch", 200),
    "admitted": checks.boolean("options.admitted"),
}

_is_map = checks.text_map("options")


def check_options(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever came
    """The map, its known options checked; unknown ones are kept, empty ones are not.

    Raises:
        UnreadableMessage: it is no map, or an option is wrong; names it, its value and the need.
    """
    kept = {name: part for name, part in _is_map(value).items() if part is not None}
    for name, part in kept.items():
        check = _CHECKS.get(name)
        if check is not None:
            check(part)
    return kept


def needs_admission(options: dict[str, Any]) -> bool:
    """Whether the scheduler has something to decide, and has not decided yet."""
    return not _TO_DECIDE.isdisjoint(options) and not options.get("admitted")


_TO_DECIDE = frozenset({"unique_key", "chain", "batch", "limits"})


def from_the_start(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a job that begins anew: without what its earlier attempts used up."""
    return {name: part for name, part in options.items() if name not in _USED_UP}


_USED_UP = frozenset({"exceptions", "retry_until"})
