"""How this command is started once more: as itself, or as a command of another program."""

from __future__ import annotations

import sys

from routeq_mqtt.python import python

ENTRY = "routeq_mqtt.cli"

_entry = [ENTRY]


def start_again_with(module: str) -> None:
    """Name the module that takes the arguments of this process, as ``python -m`` would run it."""
    _entry[0] = module


def once_more() -> list[str]:
    """The command line of this process, for another one."""
    return python(_entry[0], *sys.argv[1:])
