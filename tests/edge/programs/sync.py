"""Programs that use a SyncBus, each a real process: python -m tests.edge.programs.sync NAME."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from routeq_mqtt import SyncBus, dispatch
from tests.cluster.jobs import Report

bus = SyncBus()


def threads() -> None:
    """Eight threads share one bus; nobody closes it."""

    def produce(thread: int) -> None:
        for number in range(25):
            bus.dispatch(Report(key=f"{thread}-{number}"))

    workers = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def fork() -> None:
    """A web server that loads the application, uses its bus, and then forks its workers."""
    bus.dispatch(Report(key="parent before"))
    children = [os.fork() for _ in range(1)]
    if children[0] == 0:
        bus.dispatch(Report(key="child"))
        grandchild = os.fork()
        if grandchild == 0:
            bus.push(Report(key="grandchild"))
            sys.exit(0)
        os.waitpid(grandchild, 0)
        sys.exit(0)
    pool = [
        multiprocessing.get_context("fork").Process(target=in_pool, args=(number,))
        for number in range(2)
    ]
    for process in pool:
        process.start()
    bus.dispatch(Report(key="parent after"))
    os.waitpid(children[0], 0)
    for process in pool:
        process.join()


def in_pool(number: int) -> None:
    with bus:
        bus.dispatch(Report(key=f"pool {number}"))


def fork_in_use() -> None:
    """Forks while another thread is in the middle of a call."""
    stop = threading.Event()

    def produce() -> None:
        number = 0
        while not stop.is_set():
            bus.dispatch(Report(key=f"busy {number}"))
            number += 1

    thread = threading.Thread(target=produce)
    thread.start()
    for number in range(10):
        child = os.fork()
        if child == 0:
            bus.dispatch(Report(key=f"child {number}"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()


def late_thread() -> None:
    """The main thread ends first: the other one connects after that."""
    main = threading.main_thread()

    def produce() -> None:
        main.join()
        bus.dispatch(Report(key="late"))

    threading.Thread(target=produce).start()


def daemon_thread() -> None:
    """A daemon thread is in the middle of a call when the program ends."""
    began = threading.Event()

    def produce() -> None:
        while True:
            bus.dispatch(Report(key="endless"))
            began.set()

    threading.Thread(target=produce, daemon=True).start()
    began.wait()


def raises() -> None:
    """The program ends with an error after a dispatch."""
    bus.dispatch(Report(key="before the error"))
    raise ZeroDivisionError


def callback() -> None:
    """A signal handler dispatches, as a GPIO callback does, while the program waits elsewhere."""
    bus.open()
    signal.signal(signal.SIGUSR1, lambda number, frame: print(bus.dispatch(Report(key="callback"))))
    os.kill(os.getpid(), signal.SIGUSR1)
    assert bus.dispatch_named("Report", {"key": "named"}) != bus.later(0.1, Report(key="later"))
    assert len(bus.bulk(Report(key=f"bulk {number}") for number in range(3))) == 3
    assert isinstance(bus.stats("default"), dict)
    bus.close()
    bus.dispatch(Report(key="opened again"))


def interrupted() -> None:
    """Ctrl-C while a call waits for a broker that is not there."""
    # A shell that starts the tests in its background has told us to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.0, lambda: print("waits", flush=True)).start()
        bus.dispatch(Report(key="never"), timeout=3600)
    except KeyboardInterrupt:
        print("interrupted", flush=True)


def destructor() -> None:
    """An object that dispatches when it is destroyed lives until the interpreter ends."""

    class Thing:
        def __del__(self) -> None:
            bus.dispatch(Report(key="never"))

    bus.dispatch(Report(key="before the end"))
    vars(sys.modules["routeq_mqtt"])["thing"] = Thing()


def dropped() -> None:
    """Many buses, none of them closed: neither threads nor files stay."""
    for number in range(20):
        SyncBus().dispatch(Report(key=f"dropped {number}"))
    until_flat(threads=1)
    SyncBus(outbox="dropped.db").dispatch(Report(key="sent at the end"))


def runs() -> None:
    """An event loop for each call, with the default bus: the same, with an outbox as well."""
    asyncio.run(dispatch(Report(key="run 0")))
    files = open_files()
    for number in range(1, 30):
        asyncio.run(dispatch(Report(key=f"run {number}")))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(dispatch(Report(key="closed at once")))
    loop.close()
    asyncio.run(dispatch(Report(key="run 30")))
    gc.collect()
    until_flat(threads=threads_of_the_outbox(), files=files)


def threads_of_the_outbox() -> int:
    """The main thread; where an outbox is left with jobs, those that send them, too."""
    return 4 if "ROUTEQ_OUTBOX" in os.environ else 1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def until_flat(*, threads: int, files: int = 0) -> None:
    """Threads that end are waited for; those that never do are named."""
    deadline = time.monotonic() + 20
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads, threading.enumerate()
    if files:
        # One connection and one outbox of the process may have been added since.
        assert open_files() <= files + 10, open_files()


PROGRAMS: dict[str, Callable[[], None]] = {
    "threads": threads,
    "fork": fork,
    "fork_in_use": fork_in_use,
    "late_thread": late_thread,
    "daemon_thread": daemon_thread,
    "raises": raises,
    "callback": callback,
    "interrupted": interrupted,
    "destructor": destructor,
    "dropped": dropped,
    "runs": runs,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]]()
