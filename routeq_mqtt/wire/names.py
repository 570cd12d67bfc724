"""What may be a queue's name: one topic level; and the queue that is one device's own."""

from __future__ import annotations

import re

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.display import shown

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
        raise ConfigurationError(f"{where}={shown(name)} must be a non-empty string")
    if len(name) > _LONGEST:
        raise ConfigurationError(f"{where}={shown(name)} is longer than {_LONGEST} characters")
    found = _FORBIDDEN.search(name)
    if found is not None:
        raise ConfigurationError(
            f"{where}={shown(name)} must not contain {found.group()!r}: a queue is one level of an "
            "MQTT topic; use letters, digits, - _ . and the like"
        )
    return name


DEVICE = "@"
"""In front of a device's name: its own queue. No other queue may begin with it."""


def check_chosen_name(name: object, where: str) -> str:
    """Return `name` if somebody may choose it for a queue, or for a worker.

    Args:
        name: to check.
        where: what the error message names.

    Raises:
        ConfigurationError: it may be no queue's name, or looks like a device's own queue.
    """
    checked = check_queue_name(name, where)
    if is_device_queue(checked):
        raise ConfigurationError(
            f"{where}={shown(name)} must not begin with {DEVICE!r}: those are the queues of named "
            f"devices; dispatch(job, to={checked.lstrip(DEVICE)!r}) sends there"
        )
    return checked


def device_queue(device: object, where: str) -> str:
    """The own queue of a device: of the worker that was started with that name.

    Raises:
        ConfigurationError: no worker can have that name.
    """
    return check_queue_name(DEVICE + check_chosen_name(device, where), where)


def is_device_queue(queue: str) -> bool:
    """Whether a queue is one device's own."""
    return queue.startswith(DEVICE)
