"""The map `options` of an envelope: what only some jobs need. The table is in the wire format.

A job without any of these has no such field, and costs nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.wire import checks
from routeq_mqtt.wire.rates import is_rate

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_LIMITS = 100
_key = checks.text("options.limits: key", 200)
_slots = checks.count("options.limits: slots", 1)


def _limits(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever came
    """Only what is known of each: the scheduler makes the name of their lane of it."""
    if type(value) is not list or len(value) > _MOST_LIMITS:
        checks.refuse("options.limits", value, f"a list of at most {_MOST_LIMITS} maps")
    return [_limit(one) for one in value]


def _limit(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever came
    if type(value) is not dict:
        checks.refuse("options.limits", value, "a list of maps")
    key = _key(value.get("key"))
    if "rate" in value:
        return {"key": key, "rate": _rate(value["rate"])}
    return {"key": key, "slots": _slots(value.get("slots"))}


def _rate(value: Any) -> list[float]:  # noqa: ANN401 - whatever came
    if type(value) is not list or not is_rate(value):
        checks.refuse("options.limits: rate", value, "[jobs, seconds], of at least one job")
    return value


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
    "across_queues": checks.boolean("options.across_queues"),
    "chain": checks.text("options.chain", 200),
    "step": checks.count("options.step", 0),
    "batch": checks.text("options.batch", 200),
    "admitted": checks.boolean("options.admitted"),
    "admission": checks.text("options.admission", 64),
    "due": checks.epoch("options.due"),
}

_is_map = checks.text_map("options")


def check_options(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever came
    """The map, its known options checked; unknown ones are kept, empty ones are not.

    Raises:
        UnreadableMessage: it is not a map, or an option is wrong; names it, its value and the need.
    """
    kept = {name: part for name, part in _is_map(value).items() if part is not None}
    for name, part in kept.items():
        check = _CHECKS.get(name)
        if check is not None:
            kept[name] = check(part)
    return kept


def needs_admission(options: dict[str, Any]) -> bool:
    """Whether the scheduler has something to decide, and has not decided yet."""
    return not _TO_DECIDE.isdisjoint(options) and not options.get("admitted")


_TO_DECIDE = frozenset({"unique_key", "chain", "batch", "limits"})


def undecided(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a job whose sender may not say that the scheduler has decided on it."""
    return {name: part for name, part in options.items() if name not in _DECIDED}


_DECIDED = frozenset({"admitted", "admission"})


def from_the_start(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a job that begins anew: without what its earlier attempts used up."""
    return {name: part for name, part in options.items() if name not in _USED_UP}


_USED_UP = frozenset({"exceptions", "retry_until", "due"})
