"""Every request that a scheduler answers, those of the dashboard included: read, and listed.

Apart from the requests themselves: a program that dispatches loads none of what observers ask for.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.messages.requests import ALL
from routeq_mqtt.wire.observe.asks import ASKS

if TYPE_CHECKING:
    from routeq_mqtt.wire.messages.request import Request

REQUESTS: dict[str, type[Request[Any]]] = {one.METHOD: one for one in (*ALL, *ASKS)}
"""Every request, by its name on the wire."""


def read(method: str, args: Any) -> Request[Any]:  # noqa: ANN401 - whatever came
    """The request of a method, of arguments that came. Arguments of later versions are left out.

    Raises:
        UnreadableMessage: there is no such method, or an argument is wrong; says which, and how.
    """
    kind = REQUESTS.get(method)
    if kind is None:
        raise UnreadableMessage(f"no method {method[:80]!r}; there are: {', '.join(REQUESTS)}")
    given = checks.text_map("args")({} if args is None else args)
    values = checks.read_fields(given, kind.CHECKS)
    for spec in fields(kind):
        if spec.name not in values and spec.default is MISSING and spec.default_factory is MISSING:
            if spec.name in given and "None" in str(spec.type):
                values[spec.name] = None  # it must be said
            else:
                raise UnreadableMessage(f"the argument `{spec.name}` is missing")
    return kind(**values)


_SHOWN = {
    "str": "text", "int": "int", "float": "number", "bool": "bool", "bytes": "bytes",
    "list[str]": "list of texts", "dict[str, str]": "map of texts", "dict[str, Any]": "map",
    "tuple[float, float]": "[jobs, seconds]",
    "list[AnnouncedSchedule]": "list of maps: `name`, `every` or `cron`, `timezone`, `missed`, "
    "`envelope`",
}  # fmt: skip


def shown() -> str:
    """The table as `docs/wire-format.md` has it."""
    rows = [
        f"| `{name}` | {kind.__doc__} | {_args_shown(kind)} | {kind.REPLY} |"
        for name, kind in REQUESTS.items()
    ]
    head = ["| method | what it does | arguments | reply |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _args_shown(kind: type[Request[Any]]) -> str:
    told = []
    for spec in fields(kind):
        needed = spec.default is MISSING and spec.default_factory is MISSING
        words = _SHOWN[str(spec.type).removesuffix(" | None")]
        or_null = " or null" if needed and "None" in str(spec.type) else ""
        told.append(f"`{spec.name}`: {words}{or_null}{'' if needed else ' (optional)'}")
    return "; ".join(told)
