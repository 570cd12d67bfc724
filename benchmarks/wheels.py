"""Which dependencies have wheels for which processor: ``python -m benchmarks.wheels``.

Asks the package index, as pip does, for the newest release of each distribution that a slim
installation has, and of those that the extras bring.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.installed import SLIM, install, packages

MACHINES = {
    "aarch64": ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "armv7": ("manylinux2014_armv7l", "manylinux_2_31_armv7l"),
    "aarch64, musl": ("musllinux_1_2_aarch64",),
}
"""A Raspberry Pi with a 64-bit system, with a 32-bit one, and Alpine Linux."""

EXTRAS = ("cryptography", "cffi", "uvloop")
"""Packages of `broker`, `crypto` and `speed`, and the compiled ones among them."""

VERSION = "3.11"


def wheel(name: str, tags: tuple[str, ...], folder: Path) -> str:
    """What pip would choose: "pure Python", "wheel", or "none"."""
    platforms = [part for tag in tags for part in ("--platform", tag)]
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--only-binary=:all:", "--python-version", VERSION, "--dest", str(folder),
         *platforms, name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        if "No matching distribution" in done.stderr:
            return "none"
        raise SystemExit(f"pip could not look for {name}: {done.stderr}")
    [file] = folder.iterdir()
    return "pure Python" if file.name.endswith("-none-any.whl") else "wheel"


def main() -> None:
    """Ask pip, and print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slim = [package.split()[0] for package in packages(install(folder / "slim", *SLIM))]
        asked = [package for package in slim if package != "routeq-mqtt"]
        print(f"| package | {' | '.join(MACHINES)} |\n|---|{'---|' * len(MACHINES)}")
        for number, package in enumerate([*sorted(asked), *EXTRAS]):
            row = [
                wheel(package, tags, folder / f"{number}-{column}")
                for column, tags in enumerate(MACHINES.values())
            ]
            extra = " (extra)" if package in EXTRAS else ""
            print(f"| {package}{extra} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
