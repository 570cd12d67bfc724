"""``manage.py routeq``: the command line of routeq-mqtt, with Django set up."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, ClassVar

from routeq_mqtt.cli import main

if TYPE_CHECKING:
    from collections.abc import Sequence

    class BaseCommand:
        """Django has no types."""

else:
    from django.core.management.base import BaseCommand

NAME = "manage.py routeq"
ENTRY = "routeq_mqtt.django"
"""The module that `worker --processes` starts: it sets Django up as `manage.py` does."""


class Command(BaseCommand):
    """``manage.py routeq worker --queue mail``: everything that `routeq-mqtt` has."""

    help: str = "Run a routeq-mqtt command: worker, scheduler, failed, queues …"
    requires_system_checks: ClassVar[Sequence[str]] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Leave all arguments to routeq-mqtt."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *, arguments: list[str], **options: object) -> None:  # noqa: ARG002, RUF100
        """Run it; ends with its exit code."""
        # Django has read these of its own, wherever they stand.
        own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        own.add_argument("--settings")
        own.add_argument("--pythonpath")
        main(own.parse_known_args(arguments)[1], name=NAME, entry=ENTRY)
