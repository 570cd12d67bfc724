"""What the commands share: settings from flags, one event loop, errors as one line, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from routeq_mqtt.cli.screen import Screen
from routeq_mqtt.environment import PREFIX, environment
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionFailed,
    NobodyHoldsJobs,
    NoScheduler,
    RouteqError,
    SchedulerRunning,
)
from routeq_mqtt.settings import Settings
from routeq_mqtt.transport.address import holds_password, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

FAILED = 1
"""Exit code: the command did not do what it was asked to."""

NOT_CONNECTED = 3
"""Exit code: the broker was not reached."""

MISCONFIGURED = 4
"""Exit code: a setting or an option is wrong."""

NOBODY_THERE = 5
"""Exit code: no scheduler, or nobody who would hold the job; or a scheduler too many."""

START_AGAIN = 6
"""Exit code: a worker stopped politely because of --max-memory; start another one."""

_EXIT_CODES: tuple[tuple[type[RouteqError], int], ...] = (
    (ConnectionFailed, NOT_CONNECTED),
    (ConfigurationError, MISCONFIGURED),
    (NobodyHoldsJobs, NOBODY_THERE),
    (NoScheduler, NOBODY_THERE),
    (SchedulerRunning, NOBODY_THERE),
)

out = Screen()
err = Screen(stderr=True)

Url = Annotated[
    str | None,
    typer.Option("--url", help="Broker: mqtt[s]://host:port; default: ROUTEQ_URL."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
LogLevel = Annotated[
    str, typer.Option("--log-level", help="debug, info, warning or error.", envvar="ROUTEQ_LOG")
]

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


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Around what may fail: its error is one line and an exit code."""
    try:
        yield
    except RouteqError as error:
        fail(error)


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


def fail(error: RouteqError) -> NoReturn:
    """Print what went wrong and exit with its code."""
    err.print(f"error: {error}", style="red", soft_wrap=True)
    codes = (code for kind, code in _EXIT_CODES if isinstance(error, kind))
    raise typer.Exit(next(codes, FAILED))


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
            "the embedded broker is not installed; pip install 'routeq-mqtt[broker]'"
        ) from None


def print_json(value: object) -> None:
    """Print JSON; bytes as text where they are, else as hexadecimal."""
    typer.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)


def pairs(values: list[str], flag: str) -> dict[str, str]:
    """Values of a flag that are key=value.

    Raises:
        ConfigurationError: one is not.
    """
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{flag}={value!r} is no key=value; write {flag} site=north")
        found[key] = text
    return found


def when(seconds: float) -> str:
    """UTC epoch seconds as local time."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds")


def set_up_logging(level: str) -> None:
    """Log lines as time, level, logger and ``key=value`` to standard error."""
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        fail(ConfigurationError(f"--log-level={level!r} is unknown; use debug, info or warning"))
    logging.basicConfig(
        level=number, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
