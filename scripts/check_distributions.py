"""Builds both distributions, checks them, installs each on every Python here and runs a first job.

`make dist-check` runs it; the distributions end in `dist/`. `--quick`: only this Python is tried.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_FILE = re.compile(r"^`(\w+\.py)`:\n\n^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = 60.0
"""Seconds that the first job may take."""

PAGE = sorted(
    str(file.relative_to(ROOT))
    for file in (ROOT / "routeq_mqtt" / "dashboard" / "static").rglob("*")
    if file.is_file()
)
"""Files that the dashboard needs."""

SOURCE_ONLY = re.compile(
    r"^[^/]+/(routeq_mqtt/|routeq_broker/|pytest_routeq_mqtt\.py|README\.md|LICENSE|CHANGELOG\.md|"
    r"PKG-INFO|pyproject\.toml|\.gitignore|mosquitto(\.secure)?\.conf|deploy/)"
)
"""What a source distribution may contain."""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; exit if it fails."""
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def build() -> list[Path]:
    """Wheel and sdist of both distributions, checked."""
    shutil.rmtree(DIST, ignore_errors=True)
    for project in (ROOT, ROOT / "broker"):
        run(sys.executable, "-m", "build", "--outdir", DIST, project)
    files = sorted(DIST.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    for file in files:
        names = _names(file)
        if file.name.endswith(".tar.gz"):
            strays = [name for name in names if not _belongs(name)]
            if strays:
                sys.exit(f"{file.name} contains files that do not belong there: {strays}")
        if file.name.startswith("routeq_mqtt-"):
            missing = [one for one in PAGE if not any(name.endswith(one) for name in names)]
            if missing:
                sys.exit(f"{file.name} lacks files of the dashboard: {missing}")
    return files


def _names(file: Path) -> list[str]:
    """The files in a distribution."""
    if file.name.endswith(".tar.gz"):
        with tarfile.open(file) as archive:
            return archive.getnames()
    with zipfile.ZipFile(file) as wheel:
        return wheel.namelist()


def _belongs(name: str) -> bool:
    return "/" not in name or SOURCE_ONLY.match(name + "/") is not None


def pythons() -> list[str]:
    """Every supported Python on this machine; at least the one that runs this script."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for version in PYTHONS:
        if version not in found and (path := _working(version)) is not None:
            found[version] = path
    return [found[version] for version in sorted(found)]


def _working(version: str) -> str | None:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}")]
    candidates += [str(path / "bin" / "python") for path in sorted(versions.glob(f"{version}.*"))]
    for path in candidates:
        if path is not None:
            asked = subprocess.run([path, "-c", "import venv"], capture_output=True, check=False)
            if asked.returncode == 0:
                return path
    return None


def install(python: str, folder: Path, files: list[Path]) -> Path:
    """Install these files into a clean environment; return its folder of programs."""
    run(python, "-m", "venv", folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", *files)
    return programs


def free_port() -> int:
    """A free port on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_job(programs: Path, folder: Path) -> None:
    """Run the README's first job from what is installed, in an empty folder."""
    folder.mkdir()
    readme = (ROOT / "README.md").read_text()
    for name, code in _FILE.findall(readme):
        (folder / name).write_text(code)
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("ROUTEQ_")}
    env |= {
        "ROUTEQ_URL": f"mqtt://127.0.0.1:{port}",
        "ROUTEQ_BIND": f"127.0.0.1:{port}",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    log = folder / "up.log"
    with log.open("w") as output:
        services = subprocess.Popen(
            [str(programs / "routeq-mqtt"), "up", "--app", "jobs"],
            cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _SECONDS
            sent = False
            while "mail to ada@example.org" not in log.read_text():
                if services.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the first job did not run:\n{log.read_text()}")
                if not sent and "online" in log.read_text():
                    subprocess.run(
                        [str(programs / "python"), "first.py"], cwd=folder, env=env, check=True
                    )
                    sent = True
                time.sleep(0.1)
        finally:
            services.terminate()
            services.wait(30)


def main() -> None:
    """Build, check, install, run."""
    files = build()
    quick = "--quick" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        for python in [sys.executable] if quick else pythons():
            for kind in ("*.whl", "*.tar.gz"):
                folder = Path(name) / f"{Path(python).parent.parent.name}-{kind[2:]}"
                chosen = [file for file in files if file.match(kind)]
                programs = install(python, folder, chosen)
                first_job(programs, folder / "empty")
                print(f"ok: {python} with {', '.join(file.name for file in chosen)}", flush=True)
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
