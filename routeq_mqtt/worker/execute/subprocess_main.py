"""Runs jobs one after the other in a process of its own.

Started as a program with the number of a socket as its last argument.

It reads frames from a socket that it was given, four bytes of length and msgpack. It says first
that it is there; then to each question that the job begins, what the job says of its progress, and
at last the answer. It ends as soon as the worker has closed the other end, for whatever reason, a
kill -9 included.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import queue
import runpy
import signal
import socket
import sys
import threading
from typing import Any

from routeq_mqtt.boundary import text_of
from routeq_mqtt.errors import PackingError
from routeq_mqtt.forks import generation, leave_a_fork, protect_forks
from routeq_mqtt.jobs.calls.around import called
from routeq_mqtt.jobs.codec import encoded_result, from_envelope
from routeq_mqtt.jobs.job import set_reporter
from routeq_mqtt.jobs.signatures import has_run
from routeq_mqtt.logs import keep_enabled
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.worker.execute.ipc import ProgressPipe, frame
from routeq_mqtt.worker.execute.relayed import as_data

log: logging.Logger = logging.getLogger(__name__)


def main() -> None:
    """Serve the socket whose number is the last argument, until it is closed."""
    there = socket.socket(fileno=int(sys.argv[-1]))
    _keep_to_ourselves(there)
    # The worker gets the signals that are meant for both, and decides. A function, not SIG_IGN:
    # what a job starts itself must not inherit that.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    protect_forks()
    words = ProgressPipe(there.sendall)
    words.ready()
    questions: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(there, questions), daemon=True).start()
    while True:
        words.last(_answer(questions.get(), words))


def _keep_to_ourselves(there: socket.socket) -> None:
    """What a job forks or starts must not hold the socket: the worker would not see our end."""
    there.set_inheritable(False)
    number = there.fileno()
    os.register_at_fork(after_in_child=lambda: os.close(number))


def _read(there: socket.socket, questions: queue.SimpleQueue[dict[str, Any]]) -> None:
    """In a thread: a job that computes must not outlive its worker."""
    file = there.makefile("rb")
    with contextlib.suppress(OSError):  # a worker that was killed leaves a reset
        while len(head := file.read(4)) == 4:
            questions.put(unpack(file.read(int.from_bytes(head, "big"))))
    os._exit(0)


def _answer(question: dict[str, Any], words: ProgressPipe) -> bytes:
    born = generation()
    try:
        value = _run(question, words)
    except (KeyboardInterrupt, SystemExit) as error:
        leave_a_fork(born, 1)
        wrong = RuntimeError(f"handle() raised {type(error).__name__}({text_of(error)!r})")
        return frame({"error": as_data(wrong)})
    except BaseException as error:  # noqa: BLE001 - the boundary of users' code
        leave_a_fork(born, 1)
        return frame({"error": as_data(error)})
    leave_a_fork(born)
    try:
        return frame({"value": value})
    except PackingError as error:
        log.warning("what handle() returned is not passed on: %s", error)
        return frame({"value": None})
    except BaseException as error:  # noqa: BLE001 - values have methods of the user's
        return frame({"error": as_data(error)})


def _run(question: dict[str, Any], words: ProgressPipe) -> object:
    try:
        logging.getLogger().setLevel(question["log_level"])
        envelope = Envelope.decode(question["envelope"])
        for module in question["first"]:
            importlib.import_module(module)
        _load(question["module"], question["main"])
        job = from_envelope(envelope)
        set_reporter(job, words.reporter())
    finally:
        words.begin()
    result = called(job.handle)
    if not inspect.isawaitable(result):
        return encoded_result(job, has_run(result))
    value, error = asyncio.run(_awaited(result))
    if error is not None:
        raise error
    return encoded_result(job, value)


async def _awaited(result: Any) -> tuple[object, BaseException | None]:  # noqa: ANN401
    """Not through the event loop, which asks an exception what it is, and may never end of it."""
    try:
        return await result, None
    except BaseException as error:  # noqa: BLE001 - raised again outside
        return None, error


def _load(module: str, main: str | None) -> None:
    """Import where the worker has the class from; its own program under another name."""
    if module != "__main__":
        importlib.import_module(module)
    elif main is not None and "__mp_main__" not in sys.modules:
        names = runpy.run_path(main, run_name="__mp_main__")
        program = type(sys)("__mp_main__")
        vars(program).update(names)
        sys.modules["__mp_main__"] = program


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    keep_enabled()
    main()
