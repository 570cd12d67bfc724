"""Commands whose standard input or output is closed, full, or whose folder is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(how: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A shell line in which @ is the command."""
    command = f"{sys.executable} -m routeq_mqtt.cli"
    return subprocess.run(
        ["/bin/sh", "-c", how.replace("@", command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'broker'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("how", ["@ --version <&-", "@ --version <&- >&- 2>&-"])
def test_closed_files_change_nothing(how: str) -> None:
    assert _run(how).returncode == 0


def test_a_full_disk_is_one_line() -> None:
    done = _run("@ --version > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output cannot be written")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_is_gone_is_no_traceback(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = _run(f"cd {gone}; rmdir {gone}; @ worker --app nowhere.jobs")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr, done.stderr
    assert "there is no module" in done.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--app ''", "must be a full name"),
        ("--app broken_jobs", "cannot be imported: ZeroDivisionError: division by zero"),
        ("--app loop_jobs --max-memory 1", "MB before its first job"),
    ],
)
def test_what_cannot_work_is_one_line_at_the_start(tmp_path: Path, flags: str, said: str) -> None:
    (tmp_path / "broken_jobs.py").write_text("value = 1 / 0\n")
    # As Django's ORM: it refuses to be used, and asyncio.run to begin, inside a running loop.
    (tmp_path / "loop_jobs.py").write_text(
        "import asyncio\nasync def main(): pass\nasyncio.run(main())\n"
    )
    for processes in ("", " --processes 2"):
        done = _run(f"@ worker {flags}{processes}", tmp_path)
        assert done.returncode == 4, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            "os.kill(os.getpid(), 11)",
            "was ended by SIGSEGV before it had imported",
        ),
        ("os._exit(0)", "ended with 0 before it had imported"),
    ],
)
def test_workers_that_die_at_each_import_are_given_up(tmp_path: Path, end: str, said: str) -> None:
    (tmp_path / "deadly_jobs.py").write_text(f"import os\n{end}\n")
    done = _run("@ worker --app deadly_jobs --processes 2", tmp_path)
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert sum("times in a row: all workers stop" in line for line in lines) == 1, done.stderr
    assert said in done.stderr
    assert sum("started pid=" in line for line in lines) <= 10
    assert "Traceback" not in done.stderr


def test_supervised_workers_are_found_in_a_zip_file(tmp_path: Path) -> None:
    """The child has found what only that file holds."""
    program = tmp_path / "program"
    shutil.copytree(ROOT / "routeq_mqtt", program / "routeq_mqtt")
    (program / "__main__.py").write_text("from routeq_mqtt.cli import main\nmain()\n")
    (program / "in_the_zip.py").write_text("raise ValueError('of the zip file')\n")
    archive = tmp_path / "program.pyz"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in program.rglob("*.py"):
            packed.write(path, path.relative_to(program))
    done = subprocess.run(
        [sys.executable, "-P", archive, "worker", "--processes", "2", "--app", "in_the_zip"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "ValueError: of the zip file" in done.stderr
