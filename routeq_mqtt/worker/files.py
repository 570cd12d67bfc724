"""A worker's open files: a connection for each queue, within what the system allows."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from routeq_mqtt.errors import ConfigurationError

log: logging.Logger = logging.getLogger(__name__)

_OTHERS = 64
"""Files beside those that are open and the queues': presence, outcomes, jobs, reconnects."""

_OPEN = Path("/proc/self/fd")


def allow_files(queues: int) -> None:
    """Make sure that every queue can have its connection; raises the soft limit where it may.

    Args:
        queues: that the worker serves.

    Raises:
        ConfigurationError: the hard limit is too low; says what to set.
    """
    if sys.platform == "win32":
        return
    import resource

    already = sum(1 for _ in _OPEN.iterdir()) if _OPEN.exists() else _OTHERS
    needed = already + queues + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigurationError(
            f"a worker with {queues} queues needs {needed} open files, and the limit is {hard}: "
            f"raise it (ulimit -n {needed}; systemd: LimitNOFILE={needed}), or serve fewer queues "
            "in each worker"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    log.info("open files: the soft limit is raised from %d to %d", soft, needed)
