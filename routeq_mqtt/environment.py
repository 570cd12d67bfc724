"""The environment, and a `.env` file beneath it: the one home of python-dotenv."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "ROUTEQ_"
ENV_FILE = "ROUTEQ_ENV_FILE"


def environment() -> dict[str, str]:
    """What the environment says, and beneath it the ``ROUTEQ_…`` lines of a `.env` file.

    The file is `.env` in the current folder, or what ``ROUTEQ_ENV_FILE`` names; empty: none. The
    environment beats the file.

    Raises:
        ConfigurationError: the file that ``ROUTEQ_ENV_FILE`` names cannot be read.
    """
    named = os.environ.get(ENV_FILE)
    path = Path(".env" if named is None else named)
    if named == "" or (named is None and not path.is_file()):
        return dict(os.environ)
    return {**_read(path), **os.environ}


def _read(path: Path) -> Mapping[str, str]:
    from dotenv import dotenv_values

    try:
        with path.open() as stream:
            values = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{ENV_FILE}={str(path)!r} cannot be read: {error}") from None
    return {name: value for name, value in values.items() if value and name.startswith(PREFIX)}


def secret(env: Mapping[str, str], name: str) -> str | None:
    """A secret: the variable, or the content of the file that ``<name>_FILE`` names.

    Raises:
        ConfigurationError: both are given, or the file cannot be read; shows neither's content.
    """
    value, path = env.get(name) or None, env.get(f"{name}_FILE")
    if not path:
        return value
    if value is not None:
        raise ConfigurationError(f"{name} and {name}_FILE are both set; keep one")
    try:
        return Path(path).read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}_FILE={path!r} cannot be read: {error}") from None
