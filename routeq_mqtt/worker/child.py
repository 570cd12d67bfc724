"""A process that runs jobs one after the other: `python -m routeq_mqtt.worker.child FD`.

It reads frames from a socket that it was given, four bytes of length and msgpack. To each it says
that the job begins, what the job says of its progress, and at last the answer. It ends as soon as
the worker has closed the other end, for whatever reason, a kill -9 included.
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
import traceback
from typing import Any

from routeq_mqtt.errors import Fail, PackingError, Release, Retry
from routeq_mqtt.job.codec import from_envelope
from routeq_mqtt.job.job import set_reporter
from routeq_mqtt.wire.envelope import Envelope
from routeq_mqtt.wire.packing import unpack
from routeq_mqtt.worker.words import Words, frame

log = logging.getLogger(__name__)


def main() -> None:
    """Serve the socket whose number is the argument, until it is closed."""
    there = socket.socket(fileno=int(sys.argv[1]))
    # The worker gets the signals that are meant for both, and decides. A function, not SIG_IGN:
    # what a job starts itself must not inherit that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    words = Words(there.sendall)
    questions: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(there, questions), daemon=True).start()
    while True:
        words.last(_answer(questions.get(), words))


def _read(there: socket.socket, questions: queue.SimpleQueue[dict[str, Any]]) -> None:
    """In a thread: a job that computes must not outlive its worker."""
    file = there.makefile("rb")
    with contextlib.suppress(OSError):  # a worker that was killed leaves a reset
        while len(head := file.read(4)) == 4:
            questions.put(unpack(file.read(int.from_bytes(head, "big"))))
    os._exit(0)


def _answer(question: dict[str, Any], words: Words) -> bytes:
    try:
        value = _run(question, words)
    except (KeyboardInterrupt, SystemExit) as error:
        return frame({"error": _told(RuntimeError(f"handle() raised {type(error).__name__}"))})
    except BaseException as error:  # noqa: BLE001 - the job boundary
        return frame({"error": _told(error)})
    try:
        return frame({"value": value})
    except PackingError as error:
        log.warning("what handle() returned is not passed on: %s", error)
        return frame({"value": None})


def _run(question: dict[str, Any], words: Words) -> object:
    try:
        envelope = Envelope.decode(question["envelope"])
        _load(question["module"], question["main"])
        job = from_envelope(envelope)
        set_reporter(job, words.reporter())
    finally:
        words.begin()
    result = job.handle()
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Any) -> object:  # noqa: ANN401
    return await result


def _load(module: str, main: str | None) -> None:
    """Import where the worker has the class from; its own program under another name."""
    if module != "__main__":
        importlib.import_module(module)
    elif main is not None and "__mp_main__" not in sys.modules:
        names = runpy.run_path(main, run_name="__mp_main__")
        program = type(sys)("__mp_main__")
        vars(program).update(names)
        sys.modules["__mp_main__"] = program


def _told(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    control = next(
        (base.__name__ for base in (Fail, Retry, Release) if isinstance(error, base)), ""
    )
    return {
        "module": kind.__module__,
        "name": kind.__qualname__,
        "text": str(error),
        "traceback": "".join(traceback.format_exception(error))[-8_000:],
        "control": control,
        "delay": getattr(error, "delay", None) if control else None,
    }


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    main()
