"""`routeq-mqtt worker --processes N`: starts workers, and dead ones again; passes signals on.

A worker process is this very command once more. Its standard input is a pipe that the supervisor
holds: when that ends, for whatever reason, a kill -9 included, the worker stops politely.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from routeq_mqtt.cli.common import FAILED, MISCONFIGURED, START_AGAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

_MARK = "ROUTEQ_SUPERVISED"
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_SOUND_AFTER = 60.0
"""Seconds of life after which the death of a worker is its first one again."""


def supervised() -> bool:
    """Whether this process is one of a supervisor's."""
    return os.environ.get(_MARK) == "1"


@contextlib.contextmanager
def stop_with_supervisor(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` when the supervisor is gone."""
    if not supervised():
        yield
        return
    loop = asyncio.get_running_loop()
    pipe = sys.stdin.fileno()

    def ended() -> None:
        loop.remove_reader(pipe)
        log.warning("the supervisor is gone")
        stop()

    loop.add_reader(pipe, ended)
    try:
        yield
    finally:
        loop.remove_reader(pipe)


class Supervisor:
    """Keeps a number of worker processes alive.

    | a worker ends with | then |
    |---|---|
    | 0: it was told when to stop (--max-jobs, --stop-when-empty …) | it stays away |
    | 6: --max-memory | another one, at once |
    | 4: a setting is wrong | all stop, exit code 4 |
    | anything else | another one, after 0.5 s, 1 s, 2 s … 30 s |
    | 1, told to stop: outcomes were given up | exit code 1, when all have ended |

    Args:
        number: of processes.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Until all have ended; the exit code."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._pass_on, one)
        try:
            keepers = [self._keep(number) for number in range(1, self._number + 1)]
            await asyncio.gather(*keepers)
        finally:
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(one)
        return self._code

    def _pass_on(self, number: signal.Signals) -> None:
        """The first stops the workers politely, the second ends them: they count for themselves."""
        if self._stopping.is_set():
            self._code = 128 + number
        self._stop(number)

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int) -> None:
        """One place: a worker, and the next one when that has died."""
        wait = _FIRST_WAIT
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._live(number)
            if self._stopping.is_set() and code == FAILED:
                self._code = self._code or code
            if self._stopping.is_set() or code == 0:
                return
            if code == MISCONFIGURED:
                self._code = code
                self._stop(signal.SIGTERM)
                return
            if code == START_AGAIN:
                continue
            wait = _FIRST_WAIT if time.monotonic() - began > _SOUND_AFTER else wait
            log.error("worker process %d ended with %d, again in %.1f s", number, code, wait)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _live(self, number: int) -> int:
        """One worker process, from its start to its end; its exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "routeq_mqtt.cli", *sys.argv[1:],
            env={**os.environ, _MARK: "1"},
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on
        )  # fmt: skip
        log.info("worker process %d started pid=%d", number, process.pid)
        self._running.add(process)
        if self._stopping.is_set():
            process.terminate()
        try:
            return await process.wait()
        finally:
            self._running.discard(process)
