"""The commands of the pages on a Raspberry Pi and on operations, run as they are written."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routeq_mqtt.cli import make_app
from routeq_mqtt.scheduler.store.store import Store
from tests.cluster.cluster import free_port, mosquitto
from tests.cluster.process import ROOT
from tests.conftest import need_mosquitto

PAGES = ROOT / "docs"

DEBIAN = """\
persistence true
persistence_location {folder}/
log_dest file {folder}/mosquitto.log
include_dir {folder}/conf.d
"""
"""What Debian's /etc/mosquitto/mosquitto.conf sets."""


def test_mosquitto_starts_with_our_file_beside_debians_and_a_users_own(tmp_path: Path) -> None:
    need_mosquitto()
    [script] = re.findall(r"\| sed '([^']+)'", (PAGES / "raspberry-pi.md").read_text())
    shown = subprocess.run(
        [sys.executable, "-m", "routeq_mqtt", "config", "show", "mosquitto"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout  # fmt: skip
    ours = subprocess.run(["sed", script], input=shown, check=True, capture_output=True).stdout
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (parts / "routeq.conf").write_bytes(ours)
    port = free_port()
    (parts / "lan.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    (tmp_path / "mosquitto.conf").write_text(DEBIAN.format(folder=tmp_path))
    assert b"\nmax_queued_messages 0" in ours, "what a bus needs is still there"
    tmp_path.chmod(0o777)
    process = subprocess.Popen(
        [str(mosquitto()), "-v", "-c", str(tmp_path / "mosquitto.conf")],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        client = subprocess.run(
            [sys.executable, "-m", "routeq_mqtt", "health", "--url", f"mqtt://127.0.0.1:{port}"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (client.returncode, client.stdout) == (0, "ok\n"), client.stderr
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def test_the_page_backs_up_checks_and_restores_a_scheduler_that_runs(tmp_path: Path) -> None:
    lib, backups = tmp_path / "lib", tmp_path / "backups"
    for folder in (lib, backups):
        folder.mkdir()
    store = await Store.open(lib / "routeq.db")
    try:
        for command in _commands("Backup"):
            await _run(command, lib, backups)
    finally:
        await store.close()
    (lib / "routeq.db").write_bytes(b"damaged")
    for command in _commands("Restore"):
        if not command.startswith(("systemctl", "chown")):
            await _run(command, lib, backups)
    await (await Store.open(lib / "routeq.db")).close()


async def test_the_page_backs_up_the_file_of_a_broker_that_runs(tmp_path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 program is not installed")
    [command] = re.findall(r"`(sqlite3 \S*broker\.db \"\.backup \S+\")`", _operations())
    (tmp_path / "copies").mkdir()
    with closing(sqlite3.connect(tmp_path / "broker.db")) as broker:
        broker.execute("PRAGMA journal_mode = WAL")
        broker.execute("CREATE TABLE entries (x)")
        await _run(command, tmp_path, tmp_path / "copies")
    with closing(sqlite3.connect(tmp_path / "copies" / "broker.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _commands(part: str) -> list[str]:
    """The lines of the first block of a part of the page."""
    found = re.search(rf"^## {part}\n.*?^```sh\n(.*?)^```", _operations(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1].splitlines()


async def _run(command: str, lib: Path, backups: Path) -> None:
    """As it is written, but for its folders; our own commands run in this process."""
    command = command.replace("/var/lib/routeq", str(lib)).replace("/var/backups", str(backups))
    program, *arguments = shlex.split(command)
    if program == "routeq-mqtt":
        done = CliRunner().invoke(make_app(), arguments)
        assert done.exit_code == 0, done.output
    else:
        await asyncio.to_thread(subprocess.run, [program, *arguments], check=True)


def _operations() -> str:
    return (PAGES / "operations.md").read_text()
