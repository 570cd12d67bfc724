"""What may be a queue's name: one topic level."""

from __future__ import annotations

import re

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.shown import shown

_LONGEST = 120
_FORBIDDEN = re.compile(r"[+#/$\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_queue_name(name: object, where: str) -> str:
    """Return `name` if it may be a queue's name.

    Args:
        name: to check.
        where: what the error message names: class and option, or flag.

    Raises:
        ConfigurationError: it may not; says why.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{where}={shown(name)} must be a text that is not empty")
    if len(name) > _LONGEST:
        raise ConfigurationError(f"{where}={shown(name)} is longer than {_LONGEST} characters")
    found = _FORBIDDEN.search(name)
    if found is not None:
        raise ConfigurationError(
            f"{where}={shown(name)} must not contain {found.group()!r}: a queue is one level of an "
            "MQTT topic; use letters, digits, - _ . and the like"
        )
    return name
