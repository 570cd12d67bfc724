"""Start broker, scheduler and worker; dispatch a dozen jobs; show what happens; check it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.demo.jobs import CallFlakyService, ChargeCard, Greet, ParseFile, ResizeImage
from routeq_mqtt import Bus, Job

_GIVE_UP = 45.0
_STYLES = {"done": "green", "failed": "red", "retried": "yellow"}
out = Console()


@dataclass
class Watched:
    """One job of the demo: its expected outcome and the actual one."""

    job: Job
    delay: float
    outcome: str
    attempts: int
    story: list[str] = field(default_factory=list)
    ended: str = ""
    took: float = 0.0

    @property
    def as_expected(self) -> bool:
        return self.ended == self.outcome and self.story.count("started") == self.attempts


def jobs() -> list[Watched]:
    """A dozen jobs."""
    names = ("Ada", "Grace", "Alan", "Edsger", "Barbara")
    return [
        *(Watched(Greet(whom=name), 0, "done", 1) for name in names),
        Watched(ResizeImage(width=640), 0, "done", 1),
        Watched(ResizeImage(width=1920), 0, "done", 1),
        Watched(Greet(whom="later"), 2, "done", 1),
        Watched(ResizeImage(width=80), 2, "done", 1),
        Watched(CallFlakyService(), 0, "done", 3),
        Watched(ChargeCard(), 0, "failed", 1),
        Watched(ParseFile(), 0, "failed", 2),
    ]


async def main() -> int:
    """Run the demo; return the exit code."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        url = f"mqtt://127.0.0.1:{port}"
        async with AsyncExitStack() as stack:
            out.print(f"[bold]broker[/], [bold]scheduler[/] and [bold]worker[/] on {url}")
            broker = ("broker", "--bind", f"127.0.0.1:{port}", "--db", f"{folder}/broker.db")
            await _start(stack, *broker, "--log-level", "warning")
            await _listening(port)
            await _start(
                stack, "scheduler", "--url", url, "--db", f"{folder}/routeq.db",
                "--log-level", "error",
            )  # fmt: skip
            await _start(
                stack, "worker", "--url", url, "--app", "examples.demo.jobs",
                "--log-level", "error",
            )  # fmt: skip
            async with Bus(url) as bus:
                watched = await _watch(bus)
    return _report(watched)


async def _start(stack: AsyncExitStack, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "routeq_mqtt.cli", *command, cwd=Path(__file__).parents[2]
    )

    async def stop() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(stop)


async def _listening(port: int) -> None:
    async with asyncio.timeout(_GIVE_UP):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return writer.close()


async def _watch(bus: Bus) -> list[Watched]:
    """Dispatch, and follow the events until every job has ended."""
    watched = jobs()
    over = asyncio.Event()
    begun = time.monotonic()

    def take(message: Any) -> None:  # noqa: ANN401
        for event in json.loads(message.payload):
            # By the job's own id: it may run before its dispatch has returned.
            for one in watched:
                if one.job.job_id == event["id"]:
                    _show(one, event, time.monotonic() - begun)
        if all(one.ended for one in watched):
            over.set()

    await bus.sender.listen([bus.sender.topics.events("+")], take)
    await _ready(bus)
    for one in watched:
        await bus.dispatch(one.job, delay=one.delay)
        wait = f" in {one.delay:g} s" if one.delay else ""
        out.print(f"{_time(begun)} [cyan]dispatched[/] {one.job!r}{wait}", highlight=False)
    try:
        await asyncio.wait_for(over.wait(), _GIVE_UP)
    except TimeoutError:
        out.print("not every job ended in time", style="red")
    return watched


async def _ready(bus: Bus) -> None:
    """Wait for worker and scheduler."""
    async with asyncio.timeout(_GIVE_UP):
        while not (bus.sizes.fleet.online() and bus.sender.surroundings.scheduler):
            await bus.sizes.refresh()
            await asyncio.sleep(0.05)


def _show(one: Watched, event: dict[str, object], at: float) -> None:
    what = str(event["event"])
    one.story.append(what)
    if what in {"done", "failed"}:
        one.ended = what
        one.took = at
    style = _STYLES.get(what, "white")
    why = f" {event['error']}" if "error" in event else ""
    out.print(
        f"{at:6.2f} s [{style}]{what:>10}[/] {one.job!r} attempt {event.get('attempt')}{why}",
        highlight=False,
    )


def _time(begun: float) -> str:
    return f"{time.monotonic() - begun:6.2f} s"


def _report(watched: list[Watched]) -> int:
    table = Table("job", "outcome", "attempts", "after", "")
    for one in watched:
        expected = f"[red]NOT as expected: {one.outcome}[/]"
        mark = "[green]as expected[/]" if one.as_expected else expected
        table.add_row(
            repr(one.job),
            one.ended or "none",
            f"{one.story.count('started')} of {one.attempts}",
            f"{one.took:.2f} s",
            mark,
        )
    out.print(table)
    return 0 if all(one.as_expected for one in watched) else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
