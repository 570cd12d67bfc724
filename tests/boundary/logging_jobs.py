"""Jobs of an application that sets up its own logging, as Django and others do."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any

from routeq_mqtt import Job
from tests.cluster.jobs import Report

__all__ = ["Report"]

CONFIG: dict[str, Any] = {
    "version": 1,  # and by default: "disable_existing_loggers": True
    "formatters": {"own": {"format": "own %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "own"}},
    "root": {"level": "INFO", "handlers": ["console"]},
}

if "pytest" not in sys.modules:  # in a worker; the tests of this process want their log lines
    logging.config.dictConfig(CONFIG)
log = logging.getLogger(__name__)


class Configures(Job):
    """Sets logging up once more, while the worker runs."""

    def handle(self) -> None:
        logging.config.dictConfig(CONFIG | {"loggers": {__name__: {}}})


class LogsInAProcess(Job):
    executor = "process"

    def handle(self) -> None:
        log.info("a line of a job in a process")


def _deep(levels: int) -> None:
    if levels:
        _deep(levels - 1)
    else:
        raise ValueError("x" * 20_000)


class FailsTwice(Job):
    max_tries = 2

    async def handle(self) -> None:
        _deep(50)
