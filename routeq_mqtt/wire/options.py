"""The map `options` of an envelope: what only some jobs need. The table is in the wire format.

A job without any of these has no such field, and costs nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.wire import checks

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECKS: dict[str, Callable[[Any], Any]] = {
    "retry_until": checks.epoch("options.retry_until"),
    "max_exceptions": checks.count("options.max_exceptions", 1),
    "exceptions": checks.count("options.exceptions", 0),
    "result_ttl": checks.seconds("options.result_ttl"),
    "fail_on_timeout": checks.boolean("options.fail_on_timeout"),
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


def from_the_start(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a job that begins anew: without what its earlier attempts used up."""
    return {name: part for name, part in options.items() if name not in _USED_UP}


_USED_UP = frozenset({"exceptions", "retry_until"})
