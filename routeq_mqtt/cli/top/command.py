"""``routeq-mqtt top``: once, or for as long as somebody watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.send.retained import Retained
from routeq_mqtt.cli.asking import name_asker
from routeq_mqtt.cli.common import AsJson, Url, out, run, settings
from routeq_mqtt.cli.processes.signals import stopping
from routeq_mqtt.cli.top.board import Board
from routeq_mqtt.cli.top.details import Details
from routeq_mqtt.cli.top.keys import press
from routeq_mqtt.cli.top.view import Cursor, tables
from routeq_mqtt.errors import RouteqError
from routeq_mqtt.tasks import Scope
from routeq_mqtt.wire.observe.asks import FailedGroups
from routeq_mqtt.wire.plain_json import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from routeq_mqtt.cli.top.details import Detail

_EVERY = 1.0
_FAILURES_EVERY = 5.0
_MOST_FAILURES = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("top")(top)


def top(
    once: Annotated[bool, typer.Option("--once", help="Show the numbers once and exit.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Watch queues, running jobs, workers and failures; keys pause, resume, retry, cancel, drain.

    Where the output is not a terminal, or with ``--json``, it shows the numbers once.
    """

    async def main() -> None:
        async with Bus(settings=settings(url)) as bus:
            name_asker(bus, "top")
            board = Board(bus.sender.topics)
            retained = Retained(bus.sender, lambda one: board.take(one, time.monotonic()))
            await bus.sender.listen(board.filters(), retained)
            await _settle(bus, retained)
            await _look_at_failures(bus, board)
            details = Details(bus)
            with out.picture() if not once and not as_json else contextlib.nullcontext() as drawn:
                if drawn is not None:
                    await _watch(bus, board, retained, details, drawn)
                    return
                board.details = await _all_details(details, board)
                if as_json:
                    typer.echo(to_json(board.plain()))
                else:
                    for part in tables(board, Cursor(pane=0, row=-1, said=" "), time.time()):
                        out.print(part)

    run(main)


async def _settle(bus: Bus, retained: Retained) -> None:
    """Wait for all that is retained; what was cleared while we were away is shown no more."""
    before = bus.sender.connections
    await bus.sender.caught_up()
    retained.settle(before)


async def _look_at_failures(bus: Bus, board: Board) -> None:
    """Without a scheduler the rest is shown all the same."""
    if bus.sender.surroundings.scheduler_online:
        with contextlib.suppress(RouteqError):
            board.failures = await bus.requests.ask(FailedGroups(limit=_MOST_FAILURES))


async def _all_details(details: Details, board: Board) -> dict[str, Detail]:
    """What is answered in time: a worker that is silent does not keep the rest."""
    details.look(one.id for one in board.running())
    await details.finish()
    details.close()
    return details.known


async def _watch(
    bus: Bus, board: Board, retained: Retained, details: Details, drawn: Callable[..., None]
) -> None:
    stopped = asyncio.Event()
    keys: asyncio.Queue[str] = asyncio.Queue()
    cursor = Cursor()
    next_tick = next_look = 0.0
    with stopping(stopped.set), _raw_keys(keys), contextlib.closing(details):
        while not stopped.is_set():
            now = time.monotonic()
            if now >= next_tick:
                board.tick()
                details.look(one.id for one in board.running())
                next_tick = now + _EVERY
            if bus.sender.link.connection is not None and not retained.is_settled:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY):
                        await _settle(bus, retained)
            if now >= next_look:
                await _look_at_failures(bus, board)
                next_look = now + _FAILURES_EVERY
            board.details = details.known
            away = bus.sender.link.connection is None
            drawn(*tables(board, cursor, time.time(), away=away))
            key = await _next_key(keys, stopped, max(0.0, next_tick - time.monotonic()))
            if key in {"q", "\x03", "\x04"}:
                return
            if key:
                await press(bus, board, cursor, key)


async def _next_key(keys: asyncio.Queue[str], stopped: asyncio.Event, wait: float) -> str:
    """The next key; empty: none came in time."""
    async with Scope() as scope:
        pressed = scope.start(keys.get(), "key")
        ending = scope.start(stopped.wait(), "top-stop")
        either: set[asyncio.Task[object]] = {pressed, ending}
        await asyncio.wait(either, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        return pressed.result() if pressed.done() and not pressed.cancelled() else ""


@contextlib.contextmanager
def _raw_keys(keys: asyncio.Queue[str]) -> Iterator[None]:
    """Each key as it is pressed; the terminal is as it was afterwards."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    loop = asyncio.get_running_loop()

    def read() -> None:
        for key in os.read(number, 64).decode(errors="ignore"):
            keys.put_nowait(key)

    tty.setcbreak(number)
    loop.add_reader(number, read)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
