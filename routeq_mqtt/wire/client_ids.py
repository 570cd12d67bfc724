"""Parts of MQTT client identifiers: every broker must take them.

A server need only take letters and digits (MQTT 5, 3.1.3.1), and some refuse a dot: NATS makes its
own subjects of them. Host names and queues have dots.
"""

from __future__ import annotations

import re

_OTHER = re.compile(r"[^A-Za-z0-9_@-]")


def of_name(name: str) -> str:
    """A host's or worker's name for a client identifier that something unique is added to."""
    return _OTHER.sub("-", name)


def of_queue(queue: str) -> str:
    """A queue's name; two queues never have the same, since none has a dollar sign."""
    return queue.replace(".", "$")
