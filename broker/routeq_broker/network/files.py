"""How many connections the limit of open files leaves room for."""

from __future__ import annotations

import sys

_OTHERS = 100
"""Files beside connections: the database, listeners, and those that are turned away."""


def connections_possible() -> int:
    """Connections that this process can have at once, by its limit of open files."""
    if sys.platform == "win32":
        return 1 << 20
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(1, soft - _OTHERS)
