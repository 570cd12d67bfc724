"""One Redis without persistence, and processes of one peer; all of them stopped by their pid."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.kit import SLOTS, counter
from tests.cluster.cluster import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.peers.peers import Peer, Settings

ROOT = Path(__file__).parents[2]
VENVS = Path(__file__).parent / ".venvs"


def install(peer: Peer) -> None:
    """The peer's own virtual environment, created if missing."""
    home = VENVS / peer.name
    if not (home / ".ready").exists():
        print(f"installing {', '.join(peer.packages)}")
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *peer.packages], check=True)
        (home / ".ready").touch()


def versions(peer: Peer) -> dict[str, str]:
    """Versions of the packages that are installed for a peer."""
    command = [str(VENVS / peer.name / "bin/pip"), "list", "--format=json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    wanted = {name.partition("[")[0] for name in peer.packages} | {"redis"}
    return {one["name"]: one["version"] for one in listed if one["name"] in wanted}


@contextlib.contextmanager
def redis() -> Iterator[int]:
    """A Redis on a free loopback port; the port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        server = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        try:
            until(lambda: _ask(port, "PING") == b"+PONG\r\n", "Redis answers")
            yield port
        finally:
            end(server)


def _ask(port: int, command: str) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port)) as there:
            there.sendall(f"{command}\r\n".encode())
            return there.recv(100)
    except OSError:
        return b""


def until(
    condition: Callable[[], bool], what: str, *, every: float = 0.002, patience: float = 60.0
) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: the condition was never met.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never happened: {what}")
        time.sleep(every)


def end(process: subprocess.Popen[Any]) -> None:
    """Stop a process, and whatever is left of its own session."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class Arena:
    """One peer with one of its settings.

    Args:
        peer: the system to measure.
        settings: "speed" or "safety".
        port: of Redis.
        folder: for the counters.
    """

    def __init__(self, peer: Peer, settings: Settings, port: int, folder: Path) -> None:
        self.peer = peer
        self.times = folder / "times"
        counts = folder / "counter"
        counts.write_bytes(bytes(SLOTS * 8))
        self._counts = counter(counts)
        self._python = str(VENVS / peer.name / "bin/python")
        self._command = [self._python, "-m", "benchmarks.peers.kit", peer.name]
        self._port = port
        self._env = {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            "PYTHONPATH": str(ROOT),
            "PATH": f"{VENVS / peer.name / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "BENCH_SETTINGS": settings,
            "BENCH_REDIS_PORT": str(port),
            "BENCH_COUNTER": str(counts),
            "BENCH_TIMES": str(self.times),
        }

    def clear(self) -> None:
        """Reset the counters."""
        self._counts[:] = memoryview(bytes(SLOTS * 8)).cast("Q")
        self.times.write_bytes(b"")

    def flush(self) -> None:
        """Empty Redis."""
        if _ask(self._port, "FLUSHALL") != b"+OK\r\n":
            raise RuntimeError("Redis does not answer")

    def counted(self) -> int:
        """Jobs that ran since `clear`."""
        return sum(self._counts)

    @contextlib.contextmanager
    def producer(self) -> Iterator[None]:
        """A process that produces on request, for the duration of the block."""
        self._producer = subprocess.Popen(
            [*self._command, "produce"], env=self._env, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            end(self._producer)

    def tell(self, what: str, number: int) -> None:
        """Start producing."""
        print(what, number, file=self._producer.stdin, flush=True)

    def told(self) -> float:
        """Wait for the producer; return how many seconds it took."""
        said = self._producer.stdout.readline() if self._producer.stdout is not None else ""
        if not said:
            raise RuntimeError(f"{self.peer.name}: the producer died")
        return float(json.loads(said))

    def produce(self, what: str, number: int) -> float:
        """Produce; return how many seconds it took."""
        self.tell(what, number)
        return self.told()

    @contextlib.contextmanager
    def workers(self, number: int) -> Iterator[Callable[[signal.Signals], None]]:
        """Worker processes that have each run a job; yields a function that signals them all."""
        wanted = ["WORKER"] * number + ["BESIDE"] * self.peer.beside
        started = [
            subprocess.Popen(
                [*self._command, "work", which], start_new_session=True,
                env=self._env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for which in wanted
        ]  # fmt: skip

        def send(one: signal.Signals) -> None:
            for process in started[:number]:
                os.killpg(process.pid, one)

        try:
            until(lambda: self._all_have_run(number), "the workers are ready", every=0.05)
            yield send
        finally:
            for process in started:
                end(process)

    def _all_have_run(self, number: int) -> bool:
        """Whether this many processes have counted a job; if not, send one more."""
        if sum(map(bool, self._counts)) >= number:
            return True
        before = self.counted()
        self.produce("one", 10)
        with contextlib.suppress(TimeoutError):
            until(lambda: self.counted() >= before + 10, "ten jobs", patience=2)
        return False
