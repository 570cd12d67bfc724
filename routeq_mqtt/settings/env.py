"""The environment, and a `.env` file beneath it: the one home of python-dotenv."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.imports import first_import

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dotenv.parser import Binding

PREFIX = "ROUTEQ_"
ENV_FILE = "ROUTEQ_ENV_FILE"

_FIX = f"name a file of lines such as {PREFIX}URL=mqtt://127.0.0.1:1883"


_beneath: dict[str, str] = {}


def put_beneath(variables: Mapping[str, str]) -> None:
    """Let variables hold where neither the environment nor a `.env` file sets them.

    Args:
        variables: with their full names; they take the place of those of an earlier call.
    """
    _beneath.clear()
    _beneath.update(variables)


def environment() -> dict[str, str]:
    """What the environment says, and beneath it the ``ROUTEQ_…`` lines of a `.env` file.

    Beneath both is what `put_beneath` was given.

    The file is `.env` in the current folder, or what ``ROUTEQ_ENV_FILE`` names; empty: none. The
    environment takes precedence.

    Raises:
        ConfigurationError: the file that ``ROUTEQ_ENV_FILE`` names cannot be read, is plainly
            something else, or one of its lines that is meant for us is invalid.
    """
    named = os.environ.get(ENV_FILE)
    path = Path(".env" if named is None else named)
    if named == "" or (named is None and not path.is_file()):
        return {**_beneath, **os.environ}
    lines = _read(path)
    for line in lines:
        if line.error:
            _refuse(path, line.original.line, line.original.string)
    ours = [line for line in lines if line.key is not None and line.key.startswith(PREFIX)]
    if named is not None and not ours:
        _need_settings(named, lines)
    said = {line.key: line.value for line in ours if line.key and line.value}
    return {**_beneath, **said, **os.environ}


def _read(path: Path) -> list[Binding]:
    with first_import():
        from dotenv.parser import parse_stream

    what = f"{ENV_FILE}={str(path)!r}"
    try:
        with path.open() as stream:
            return list(parse_stream(stream))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what} is not text; {_FIX}") from None
    except OSError as error:
        raise ConfigurationError(f"{what} cannot be read: {error}") from None


def _need_settings(named: str, lines: Iterable[Binding]) -> None:
    """Refuse a program or a page that was named by mistake; settings of others are none."""
    for line in lines:
        text = line.original.string
        if line.error or (line.key is not None and line.value is None):
            number = line.original.line + len(text) - len(text.lstrip("\n"))
            raise ConfigurationError(
                f"{ENV_FILE}={named!r}: line {number} is no NAME=value, and no line is a setting "
                f"of ours; {_FIX}"
            )


def _refuse(path: Path, number: int, line: str) -> None:
    """An invalid line; of other programs' lines we know nothing. Its value may be a secret."""
    name = re.search(rf"{PREFIX}\w+", line)
    if name is not None:
        number += line.count("\n", 0, name.start())  # empty lines before it belong to it
        raise ConfigurationError(
            f"{path}, line {number}: {name[0]} is not set there; write {name[0]}=value, "
            f'or {name[0]}="a value", the quote closed on the same line'
        )


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
