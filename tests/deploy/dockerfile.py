"""The Dockerfile, read and run without Docker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.process import ROOT

DOCKER = ROOT / "deploy" / "docker"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and the rest of its line, in order."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = (line.partition(" ") for line in text.splitlines() if line and line[0] != "#")
    return [(name, rest) for name, _, rest in lines]


def build(folder: Path) -> Path:
    """Run the RUN lines of the first stage in a folder instead of an image; what is /opt/routeq."""
    source, target = folder / "source", folder / "opt" / "routeq"
    ignored = shutil.ignore_patterns(".git", ".venv*", "*.log", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    steps = instructions()
    second = [number for number, (name, _) in enumerate(steps) if name == "FROM"][1]
    runs = [rest for name, rest in steps[:second] if name == "RUN"]
    assert len(runs) == 2
    for run in runs:
        line = run.replace("/source", str(source)).replace("/opt/routeq", str(target))
        line = re.sub(r"^python ", f"{sys.executable} ", line)
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
        assert done.returncode == 0, done.stderr
    return target
