"""A real PostgreSQL of the tests: its own cluster in a folder of its own, on a Unix socket."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    """Debian does not put the server's programs on the path."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _PLACES)])
    return shutil.which(name, path=path)


def is_there() -> bool:
    return program("initdb") is not None and program("postgres") is not None


def need_postgres() -> None:
    """Skip the test where there is no PostgreSQL."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if not is_there():
        pytest.skip("PostgreSQL is not installed")


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Postgres:
    """One server; it can be killed, frozen and started again.

    Args:
        is_safe: writes through to the disk, as it must where it is killed.
    """

    def __init__(self, *, is_safe: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="routeq-pg-"))
        self._data = self.folder / "data"
        self._is_safe = is_safe
        self._user = _user()
        self.pid: int | None = None
        self._schemas = count(1)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run(
            "initdb", "-D", str(self._data), "-U", "routeq", "-A", "trust", "-E", "UTF8",
            "--locale=C", *(() if is_safe else ("--no-sync",)),
        )  # fmt: skip

    def _run(self, name: str, *args: str) -> None:
        command = [str(program(name)), *args]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self.folder)

    @property
    def url(self) -> str:
        """Of a schema that nobody has used."""
        return f"postgresql://routeq@/postgres?host={self.folder}&schema=t{next(self._schemas)}"

    def start(self) -> None:
        """Returns once it accepts connections: it says so."""
        # One that was killed left them, and may be a zombie: as good as alive to the next one.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        (self.folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
        log = self.folder / "log"
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=100"
        if not self._is_safe:
            options += " -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(log), "-o", options)
        self.pid = int((self._data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """SIGKILL to all of its processes: as a machine that is gone."""
        if self.pid is None:
            return
        parts = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for one in (self.pid, *map(int, parts)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        for one in (self.pid, *map(int, parts)):
            while Path(f"/proc/{one}").exists() and _state(one) != "Z":
                time.sleep(0.01)
        self.pid = None

    def stop(self) -> None:
        """At once, and cleanly."""
        if self.pid is not None:
            self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._data))
            self.pid = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
