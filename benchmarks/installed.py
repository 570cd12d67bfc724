"""Environments with this checkout in them, and how large they are."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from tests.cluster.process import ROOT


def install(folder: Path, *what: str) -> Path:
    """Create an environment and run pip with these arguments; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet",
         "--disable-pip-version-check", *what],
        check=True,
    )  # fmt: skip
    return python


def uninstall(python: Path, *names: str) -> None:
    """Uninstall packages from an environment."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "uninstall", "--quiet", "--yes",
         "--disable-pip-version-check", *names],
        check=True,
    )  # fmt: skip


SMALL_CARD = ("rich", "pygments", "markdown-it-py", "mdurl")
"""What a small card leaves out: rich, and what only rich needs."""

SLIM = (str(ROOT),)
WITH_BROKER = (str(ROOT / "broker"), str(ROOT))


def site_packages(python: Path) -> Path:
    """The site-packages folder of an environment."""
    [packages] = python.parents[1].glob("lib/python*/site-packages")
    return packages


def size(folder: Path) -> float:
    """Total size of all files in MB: bytes, not disk blocks."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def packages(python: Path) -> dict[str, tuple[float, float]]:
    """For each distribution, largest first: MB as installed, and MB of its bytecode."""
    found: dict[str, tuple[float, float]] = {}
    for distribution in distributions(path=[str(site_packages(python))]):
        files = {Path(str(distribution.locate_file(file))) for file in distribution.files or ()}
        came = [file for file in files if file.suffix != ".pyc" and file.exists()]
        compiled = {
            code
            for file in came
            if file.suffix == ".py"
            for code in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc")
        }
        name = f"{distribution.metadata['Name']} {distribution.version}"
        found[name] = _megabytes(came), _megabytes(compiled)
    return dict(sorted(found.items(), key=lambda item: -sum(item[1])))


def _megabytes(files: list[Path] | set[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6


def compiled(python: Path) -> list[str]:
    """Files with machine code, which need a wheel for each kind of processor."""
    return sorted({path.name for path in site_packages(python).rglob("*.so")})
