"""Producers with an outbox, each a real process: python -m tests.edge.programs.outbox NAME …."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from routeq_mqtt import Bus, SyncBus
from routeq_mqtt.outbox.file import OutboxFile
from routeq_mqtt.settings.settings import Settings
from tests.cluster.jobs import Report


def produce(first: str, jobs: str) -> None:
    """Dispatch so many jobs one by one; print the key of each when it is accepted."""

    async def main() -> None:
        async with Bus() as bus:
            for number in range(int(first), int(first) + int(jobs)):
                await bus.dispatch(Report(key=str(number)))
                print(number, flush=True)

    asyncio.run(main())


def forward() -> None:
    """Send what is in the file until it is stopped."""
    logging.basicConfig(level=logging.WARNING)

    async def main() -> None:
        async with Bus() as bus:
            assert bus.outgoing is not None
            outgoing = bus.outgoing
            while outgoing.forwarder is None or outgoing.forwarder.state in {"starting", "standby"}:
                await asyncio.sleep(0.01)
            print("forwards", flush=True)
            await asyncio.Future()

    asyncio.run(main())


def die_at(step: str, jobs: str) -> None:
    """Dispatch jobs and be killed at a step of the outbox's life: add, head or settle."""
    inner = getattr(OutboxFile, step)

    def killed(*args: Any, **kwargs: Any) -> Any:
        if step == "settle":  # the jobs were acknowledged, and are still in the file
            os.kill(os.getpid(), signal.SIGKILL)
        found = inner(*args, **kwargs)
        if found:  # the jobs are on disk, or were read from there
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    async def main() -> None:
        async with Bus() as bus:
            setattr(OutboxFile, step, killed)
            await bus.bulk([Report(key=str(number)) for number in range(int(jobs))])
            await asyncio.Future()

    asyncio.run(main())


def count(prefix: str, first: str, jobs: str, chunk: str) -> None:
    """Dispatch numbered jobs, `chunk` at once; say which are begun, and which are accepted."""
    last = int(first) + int(jobs)

    async def main() -> None:
        async with Bus() as bus:
            os.chdir("/")  # as a daemon does
            for start in range(int(first), last, int(chunk)):
                keys = [
                    f"{prefix}{number}" for number in range(start, min(start + int(chunk), last))
                ]
                say("next", start + len(keys))
                await asyncio.gather(*(bus.dispatch(Report(key=key)) for key in keys))
                say("kept", json.dumps(keys))

    asyncio.run(main())


def say(word: str, rest: object) -> None:
    """A line in one write: `print` makes four of it here, and a kill may come between two."""
    sys.stdout.write(f"{word} {rest}\n")
    sys.stdout.flush()


def sync() -> None:
    """Threads and a fork share one SyncBus with an outbox; nobody closes it."""
    bus = SyncBus()
    bus.dispatch(Report(key="first"))
    child = os.fork()
    if child == 0:
        bus.dispatch(Report(key="child"))
        os._exit(0)
    threads = [
        threading.Thread(target=lambda n=n: bus.dispatch(Report(key=f"thread {n}")))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.waitpid(child, 0)


def forgets_to_close() -> None:
    """Ends without closing its bus."""

    async def main() -> None:
        bus = Bus()
        await bus.dispatch(Report(key="kept"))
        print("dispatched", flush=True)

    asyncio.run(main())


def daemon(jobs: str) -> None:
    """Changes its working directory, as daemons do; its outbox has a relative path."""

    async def main() -> None:
        async with Bus() as bus:
            await bus.dispatch(Report(key="0"))
            os.chdir("/")
            for number in range(1, int(jobs)):
                await bus.dispatch(Report(key=str(number)))
            print("dispatched", flush=True)
            await asyncio.Future()

    asyncio.run(main())


def sync_daemon() -> None:
    """Makes its bus, changes its working directory, and uses it then."""
    bus = SyncBus(outbox="named.db")
    os.chdir("/")
    bus.dispatch(Report(key="sync"))


def as_user(user: str, *arguments: str) -> None:
    """One of the others, as another user of a group that all share."""
    import routeq_mqtt.bus.outbox.client
    import routeq_mqtt.outbox.living  # noqa: F401 - that user may not be able to import anything

    async def connect() -> None:
        async with Bus(settings=Settings(url=os.environ["ROUTEQ_URL"])):
            pass

    asyncio.run(connect())
    os.umask(0o002)
    os.setgroups([])
    os.setgid(GROUP)
    os.setuid(int(user))
    PROGRAMS[arguments[0]](*arguments[1:])


GROUP = 64_000
"""Of those that share an outbox."""

PROGRAMS: dict[str, Callable[..., None]] = {
    "produce": produce,
    "forward": forward,
    "die_at": die_at,
    "count": count,
    "sync": sync,
    "forgets_to_close": forgets_to_close,
    "daemon": daemon,
    "sync_daemon": sync_daemon,
    "as_user": as_user,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
