"""How a command says that it failed: one line, or with ``--json`` one object, and an exit code."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn, cast

import typer

from routeq_mqtt.cli.output.screen import Screen
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionFailed,
    NoConsumer,
    NoScheduler,
    RouteqError,
    SchedulerRunning,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILED = 1
"""Exit code: the command did not do what it was asked to."""

NOT_CONNECTED = 3
"""Exit code: the broker was not reached."""

MISCONFIGURED = 4
"""Exit code: a setting, a flag or an argument has a value that cannot be."""

NOBODY_THERE = 5
"""Exit code: no scheduler, no consumer for the job, or one scheduler too many."""

START_AGAIN = 6
"""Exit code: a worker shut down gracefully because of --max-memory; start another one."""

_EXIT_CODES: tuple[tuple[type[RouteqError], int], ...] = (
    (ConnectionFailed, NOT_CONNECTED),
    (ConfigurationError, MISCONFIGURED),
    (NoConsumer, NOBODY_THERE),
    (NoScheduler, NOBODY_THERE),
    (SchedulerRunning, NOBODY_THERE),
)

out: Screen = Screen()
err: Screen = Screen(stderr=True)


class _Form:
    """Whether the present command was called with ``--json``."""

    json = False


def wants_json(value: bool) -> bool:
    """The callback of ``--json``, which is read before all other flags."""
    _Form.json = value
    return value


def fail(error: RouteqError) -> NoReturn:
    """Print what went wrong and exit with its code."""
    codes = (code for kind, code in _EXIT_CODES if isinstance(error, kind))
    code = next(codes, FAILED)
    if _Form.json:
        _say_in_json(type(error).__name__, str(error), code)
    else:
        err.print(f"error: {error}", style="red", soft_wrap=True)
    raise typer.Exit(code)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Around what may fail: its error is one line and an exit code."""
    try:
        yield
    except RouteqError as error:
        fail(error)


def usage_as_json(call: Callable[..., Any]) -> NoReturn:
    """Call an application of typer whose wrong usage, too, is reported as JSON."""
    usage_error: type[Exception] = typer.BadParameter.__mro__[2]  # of typer's own click, or click's
    try:
        code = call(standalone_mode=False)
    except usage_error as error:
        code = cast("int", getattr(error, "exit_code", 2))
        message = getattr(error, "format_message", error.__str__)()
        _say_in_json("UsageError", message, code)
    except typer.Abort:
        code = FAILED
    sys.exit(code if isinstance(code, int) else 0)


def _say_in_json(kind: str, message: str, code: int) -> None:
    told = {"error": message, "kind": kind, "exit_code": code}
    typer.echo(json.dumps(told, ensure_ascii=False), err=True)
