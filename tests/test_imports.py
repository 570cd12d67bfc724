"""Imports at first use: a fork in the middle of one leaves no child that waits for ever."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_floors import ROOT, files

PROGRAM = """
import os, signal, sys, threading

from routeq_mqtt.imports import LateModule, first_import

sys.path.insert(0, sys.argv[1])
started = sys.started = threading.Event()
forked = sys.forked = threading.Event()
os.register_at_fork(after_in_parent=forked.set)

def use():
    LATE

thread = threading.Thread(target=use)
thread.start()
started.wait()  # the thread is in the middle of the import
if (child := os.fork()) == 0:
    signal.alarm(10)  # its end, if it waits for ever
    use()
    os._exit(7)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

SLOW = """
import sys

sys.started.set()
sys.forked.wait(1.0)  # until the fork is done, or has waited a second for us
value = 3
"""

WAYS = {
    "inside a function": "with first_import():\n        import slow",
    "a late module": "assert LateModule('slow').value == 3",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fork_waits_for_an_import_of_another_thread(way: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    program = PROGRAM.replace("LATE", WAYS[way])
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 7, run.stderr


def test_a_fork_inside_an_import_does_not_wait_for_itself(tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(
        "import os\n"
        "if (child := os.fork()) == 0:\n    os._exit(7)\n"
        "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
    )
    program = (
        "import sys; from routeq_mqtt.imports import LateModule\n"
        "sys.path.insert(0, sys.argv[1]); sys.exit(LateModule('forks').code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 7, run.stderr


IMPORTS_LATER = """
import asyncio, sys
from routeq_mqtt import Bus, ConnectionFailed, ResultTimeout

async def main():
    bus = Bus("mqtt://127.0.0.1:1")
    before = set(sys.modules)
    for asked in (bus.open(timeout=0.2), bus.result("x", timeout=0.2)):
        try:
            await asked
        except (ConnectionFailed, ResultTimeout):
            pass
    print(*(name for name in set(sys.modules) - before if name.startswith(WATCHED)))

WATCHED = ("routeq_mqtt", "aiomqtt", "paho", "tenacity")
asyncio.run(main())
"""


def test_no_time_out_of_a_bus_runs_while_it_imports() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORTS_LATER],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == "", run.stderr


PRODUCERS = ("bus", "jobs", "outbox", "presence", "security", "settings", "transport", "wire")
"""The packages that run in users' programs, in threads, with forks."""


def _late(tree: ast.Module) -> set[ast.stmt]:
    found: set[ast.stmt] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= {
                one for one in ast.walk(function) if isinstance(one, ast.Import | ast.ImportFrom)
            }
    return found


def _guarded(tree: ast.Module) -> set[ast.stmt]:
    found: set[ast.stmt] = set()
    for block in ast.walk(tree):
        if isinstance(block, ast.With) and ast.unparse(block.items[0]) == "first_import()":
            found |= {one for one in ast.walk(block) if isinstance(one, ast.stmt)}
    return found


def test_every_late_import_of_a_producer_is_one_that_a_fork_waits_for() -> None:
    wrong = []
    for package in PRODUCERS:
        for path in files(ROOT / "routeq_mqtt" / package):
            tree = ast.parse(path.read_text())
            wrong += [
                f"{path.relative_to(ROOT)}:{one.lineno}: put it into `with first_import():`"
                for one in _late(tree) - _guarded(tree)
            ]
    assert not wrong
