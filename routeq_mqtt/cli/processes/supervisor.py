"""`routeq-mqtt worker --processes N`: starts workers, and dead ones again; passes signals on.

A worker process is this very command once more. Its standard input is a pipe that the supervisor
holds: when that ends, for whatever reason, a kill -9 included, the worker stops gracefully.
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
from routeq_mqtt.cli.processes.entry import once_more
from routeq_mqtt.cli.processes.signals import STOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log: logging.Logger = logging.getLogger(__name__)

_MARK = "ROUTEQ_SUPERVISED"
_STARTED = "ROUTEQ_STARTED_FD"
_MOST_STARTS = 5
"""Starts in a row that end before the modules of --app are imported; then all workers stop."""

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_GROWS_WITHIN = 5.0
"""Seconds: a worker that is too big sooner than that is not started again at once."""

_SOUND_AFTER = 60.0
"""Seconds of life after which the death of a worker is its first one again."""


def supervised() -> bool:
    """Whether this process is one of a supervisor's."""
    return os.environ.get(_MARK) == "1"


def say_started() -> None:
    """Tell the supervisor, where there is one, that this worker has imported its modules."""
    number = os.environ.pop(_STARTED, None)
    if number is not None:
        with contextlib.suppress(OSError, ValueError):
            os.write(int(number), b"1")
            os.close(int(number))


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
    | 6: --max-memory | another one, at once; after less than 5 s as after a death |
    | 4: a setting is wrong | all stop, exit code 4 |
    | anything, 5 times in a row before its modules are imported | all stop, exit code 1 |
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
        for one in STOPS:
            loop.add_signal_handler(one, self._pass_on, one)
        try:
            keepers = [self._keep(number) for number in range(1, self._number + 1)]
            await asyncio.gather(*keepers)
        finally:
            for one in STOPS:
                loop.remove_signal_handler(one)
        return self._code

    def _pass_on(self, number: signal.Signals) -> None:
        """The first stops the workers gracefully, the second ends them: each counts by itself."""
        if self._stopping.is_set():
            if number == signal.SIGHUP:
                return
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
        in_vain = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code, started = await self._live(number)
            in_vain = 0 if started else in_vain + 1
            if self._stopping.is_set() and code == FAILED:
                self._code = self._code or code
            if self._stopping.is_set() or (code == 0 and started):
                return
            if code == MISCONFIGURED:
                self._code = code
                self._stop(signal.SIGTERM)
                return
            if in_vain >= _MOST_STARTS:
                self._give_up(number, code)
                return
            lived = time.monotonic() - began
            if code == START_AGAIN and lived > _GROWS_WITHIN:
                continue
            wait = _FIRST_WAIT if lived > _SOUND_AFTER else wait
            log.error("worker process %d %s, again in %.1f s", number, _how(code), wait)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _give_up(self, number: int, code: int) -> None:
        log.error(
            "worker process %d %s before it had imported its modules, %d times in a row: all "
            "workers stop; look at what the modules of --app do when they are imported",
            number, _how(code), _MOST_STARTS,
        )  # fmt: skip
        self._code = FAILED
        self._stop(signal.SIGTERM)

    async def _live(self, number: int) -> tuple[int, bool]:
        """One worker process from start to end; its exit code, and whether it began to work."""
        started, theirs = os.pipe()
        os.set_blocking(started, False)
        try:
            return await self._watch(number, theirs), _has_word(started)
        finally:
            os.close(started)

    async def _watch(self, number: int, started: int) -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *once_more(),
                env={**os.environ, _MARK: "1", _STARTED: str(started)},
                stdin=asyncio.subprocess.PIPE,
                pass_fds=[started],
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on
            )
        finally:
            os.close(started)
        log.info("worker process %d started pid=%d", number, process.pid)
        self._running.add(process)
        if self._stopping.is_set():
            process.terminate()
        try:
            return await process.wait()
        finally:
            self._running.discard(process)


def _has_word(pipe: int) -> bool:
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:  # empty, and held by what the process has left behind
        return False


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"
