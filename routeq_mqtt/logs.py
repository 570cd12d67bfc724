"""The log lines of this library, which no logging configuration of the application may silence.

`logging.config.dictConfig` disables, by default, every logger that exists already.
"""

from __future__ import annotations

import logging

_OURS = frozenset({"routeq_mqtt", "routeq_broker"})


class _Enabled(logging.Logger):
    """A logger that cannot be disabled; its level, its handlers and its parent say what it logs."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Nothing: `dictConfig` sets it for all loggers that it does not name."""


def keep_enabled() -> None:
    """Let nothing disable the loggers of this library that exist by now.

    For a process of ours: in a program of the user's, the program decides.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.split(".")[0] in _OURS and type(logger) is logging.Logger:
            logger.__class__ = _Enabled
