"""The shipped files as the bus of a namespace needs them: access rules and units of systemd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from routeq_mqtt.topics import Topics, below, check_namespace

if TYPE_CHECKING:
    from collections.abc import Mapping

ABLE: tuple[str, ...] = ("acl", "systemd")
"""The configurations that are another one in a namespace."""

_RULE = re.compile(
    r"^(?P<head>(?:# )?(?:topic|pattern) (?:(?:read|write|readwrite|deny) )?)(?P<topic>\S+)$",
    re.MULTILINE,
)
_ROLE = re.compile(r"^(?P<head>(?:# )?user )(?P<name>\S+)$", re.MULTILINE)
_PLAIN = Topics()
_OURS = (f"{_PLAIN.control}/", _PLAIN.delivery_prefix, _PLAIN.intake_prefix)

_CLIENT = "$client/"
"""Of rules on client identifiers; a device's is its user name, which has no namespace."""

_BROKER = "routeq-broker.service"
"""One broker serves all buses."""


def namespaced(files: Mapping[str, str], namespace: str) -> dict[str, str]:
    """Files of `ABLE`, by name, for one bus of several.

    Users are named for the namespace, and folders, units and settings, too, so that the files of
    several buses can be used beside each other.

    Raises:
        ConfigurationError: it cannot be a namespace.
    """
    check_namespace(namespace, "--namespace")
    return {
        _named(name, namespace): _rules(text, namespace)
        if name.endswith(".acl")
        else _unit(text, namespace)
        for name, text in files.items()
        if name != _BROKER
    }


def _named(name: str, namespace: str) -> str:
    if name.endswith(".acl"):
        return f"{namespace}-{name}"
    return name.replace("routeq", f"routeq-{namespace}", 1)


def _rules(text: str, namespace: str) -> str:
    def moved(rule: re.Match[str]) -> str:
        topic = rule["topic"]
        if topic.startswith(_CLIENT):
            own = topic.removeprefix(_CLIENT)
            return rule["head"] + _CLIENT + (own if own == "%u" else below(namespace, own))
        is_ours = topic.startswith(_OURS)
        return rule["head"] + (below(namespace, topic) if is_ours else topic)

    return _ROLE.sub(rf"\g<head>{namespace}-\g<name>", _RULE.sub(moved, text))


def _unit(text: str, namespace: str) -> str:
    own = f"routeq-{namespace}"
    for old, new in (
        ("/var/lib/routeq", f"/var/lib/{own}"),
        ("/etc/routeq/routeq.env", f"/etc/{own}/{own}.env"),
        ("/etc/routeq/", f"/etc/{own}/"),
        ("StateDirectory=routeq", f"StateDirectory={own}"),
        ("routeq-scheduler.service", f"{own}-scheduler.service"),
        ("# ROUTEQ_NAMESPACE=", f"ROUTEQ_NAMESPACE={namespace}\n# ROUTEQ_NAMESPACE="),
    ):
        text = text.replace(old, new)
    return text
