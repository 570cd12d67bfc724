"""What the commands share: settings from flags, one event loop, checks of values, logging."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from routeq_mqtt.cli.failing import (
    FAILED,
    MISCONFIGURED,
    NOT_CONNECTED,
    START_AGAIN,
    err,
    fail,
    one_line,
    out,
    wants_json,
)
from routeq_mqtt.cli.output.log_lines import handler
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.logs import keep_enabled
from routeq_mqtt.settings.env import PREFIX, environment
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.address import holds_password, without_secrets
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.plain_json import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

__all__ = [  # what failed and how, and the flags and checks of this file
    "FAILED", "MISCONFIGURED", "NOT_CONNECTED", "START_AGAIN", "err", "fail", "one_line", "out",
    "AsJson", "LogJobs", "LogLevel", "Url", "apply_settings", "checked", "is_folder",
    "is_in_a_folder", "is_name", "keep_logging", "needs_broker", "pairs", "print_json", "run",
    "seconds_above_0", "set_up_logging", "settings", "when",
]  # fmt: skip

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Broker: mqtt://host:port or mqtts://host:port; default: ROUTEQ_URL, else "
        "mqtt://127.0.0.1:1883.",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON, errors included.",
        callback=wants_json,
        is_eager=True,
    ),
]
LogLevel = Annotated[
    str, typer.Option("--log-level", help="debug, info, warning or error.", envvar="ROUTEQ_LOG")
]

LogJobs = Annotated[
    bool,
    typer.Option(help="Log each job that is done, with its run time.", envvar="ROUTEQ_LOG_JOBS"),
]

log: logging.Logger = logging.getLogger(__name__)

_LONGEST_NAME = 400

_T = TypeVar("_T")


def settings(url: str | None, *, outbox: bool = False) -> Settings:
    """Settings from the environment, the URL from the flag where there is one.

    Args:
        url: the flag.
        outbox: whether the command uses ``ROUTEQ_OUTBOX``; most ask the broker, now or never.

    Raises:
        ConfigurationError: the flag holds a password, or a setting makes no sense.
    """
    if url is not None and holds_password(url):
        raise ConfigurationError(
            f"--url={without_secrets(url)!r} holds a password, which every user of this machine "
            "can see in the list of processes; put it into ROUTEQ_URL, ROUTEQ_PASSWORD, a file "
            "that ROUTEQ_PASSWORD_FILE names, or .env"
        )
    found = Settings.from_environment(url=url)
    return found if outbox else replace(found, outbox=None)


def apply_settings(**flags: str | None) -> None:
    """Put flags, and what a `.env` file says, into the environment of this process.

    So they hold for every command, for the settings that a command reads as its options, and for
    the processes that it starts.
    """
    for name, value in flags.items():
        if value is not None:
            os.environ[f"{PREFIX}{name.upper()}"] = value
    if flags.get("password_file") is not None:
        os.environ.pop(f"{PREFIX}PASSWORD", None)
    try:
        os.environ.update(environment())
    except ConfigurationError as error:
        fail(error)


def run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a command in an event loop (uvloop where installed); an error is one line."""
    # Where nobody has set up logging, Python itself would print our warnings beside that line.
    logging.getLogger("routeq_mqtt").addHandler(logging.NullHandler())
    try:
        with one_line(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(main())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except SystemExit as error:
        # From a callback of users' code: it must not look like an end that was asked for.
        log.error("ended by SystemExit(%r) of a callback in the event loop", error.code)
        raise typer.Exit(FAILED) from None


def checked(check: Callable[[Any, str], object], where: str) -> Callable[[_T], _T]:
    """A callback that refuses a bad value of a flag or argument before anything connects.

    Args:
        check: takes the value and `where`; raises a `ConfigurationError`.
        where: what its error names.
    """

    def callback(value: _T) -> _T:
        with one_line():
            if value is not None:
                check(value, where)
        return value

    return callback


def is_name(value: str | list[str], where: str) -> None:
    """A check for `checked`: of an id or a name, or of several.

    Raises:
        ConfigurationError: it is empty, too long or not printable.
    """
    for text in [value] if isinstance(value, str) else value:
        if not 0 < len(text) <= _LONGEST_NAME or not text.isprintable():
            raise ConfigurationError(
                f"{where}={shown(text)} must be a printable text of 1 to {_LONGEST_NAME} characters"
            )


def is_folder(value: Path, where: str) -> None:
    """A check for `checked`.

    Raises:
        ConfigurationError: there is no such folder.
    """
    _need_folder(value, value, where)


def is_in_a_folder(value: Path, where: str) -> None:
    """A check for `checked`: of a file that may have to be made.

    Raises:
        ConfigurationError: its folder is not there.
    """
    _need_folder(value.parent, value, where)


def _need_folder(folder: Path, value: Path, where: str) -> None:
    if not folder.is_dir():
        raise ConfigurationError(
            f"{where}={str(value)!r}: there is no folder {str(folder)!r}; make it first"
        )


def seconds_above_0(value: float, where: str) -> None:
    """A check for `checked`.

    Raises:
        ConfigurationError: it is no such time.
    """
    if not 0 < value < inf:
        raise ConfigurationError(f"{where}={value!r} must be seconds above 0")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextlib.contextmanager
def needs_broker() -> Iterator[None]:
    """Around the import of the embedded broker: where it is missing, say how to get it."""
    try:
        yield
    except ImportError:
        raise typer.BadParameter(
            "the embedded broker is not installed; pip install 'routeq-mqtt[broker]', "
            "or in a clone of the repository: pip install ./broker"
        ) from None


def print_json(value: object) -> None:
    """Print a value as JSON; see `to_json`."""
    typer.echo(to_json(value, indent=2))


def pairs(values: list[str], flag: str) -> dict[str, str]:
    """Values of a flag that are key=value.

    Raises:
        ConfigurationError: one is not.
    """
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{flag}={value!r} is not key=value; write {flag} site=north")
        found[key] = text
    return found


def when(seconds: float) -> str:
    """UTC epoch seconds as local time; as a number where no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"


def set_up_logging(level: str) -> None:
    """Log lines as time, level, logger and ``key=value`` to standard error."""
    logging.basicConfig(level=_level(level), handlers=[handler()], force=True)


def keep_logging(level: str) -> None:
    """After the application was imported: its own logging must not silence this library."""
    ours = logging.getLogger("routeq_mqtt")
    ours.setLevel(_level(level))
    keep_enabled()
    handlers = [*ours.handlers, *(logging.root.handlers if ours.propagate else [])]
    if not any(not isinstance(one, logging.NullHandler) for one in handlers):
        ours.addHandler(handler())


def _level(level: str) -> int:
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        fail(ConfigurationError(f"--log-level={level!r} is unknown; use debug, info or warning"))
    return number
