"""The units run in a real systemd: online, hardened, watched, and stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.process import ROOT, Process

SYSTEM_PYTHON = Path("/usr/bin/python3")
"""The units hide /home and /root, where the interpreter of the tests may be."""

NEEDED = ("unshare", "systemctl", "ip", "ps")
JOBS = """
import time
from pathlib import Path

from routeq_mqtt import Job


class Hangs(Job):
    async def handle(self) -> None:
        try:
            Path("hung").touch(exist_ok=False)
            time.sleep(60)
        except FileExistsError:
            Path("ran").write_text(f"attempt {self.attempts}")
"""


def _version(python: Path) -> str:
    look = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([str(python), "-c", look], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _why_not() -> str | None:
    """What keeps this machine from running a systemd."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in NEEDED):
        return "running a systemd of one's own takes root, systemd, unshare, ip and ps"
    if not SYSTEM_PYTHON.exists() or _version(SYSTEM_PYTHON) != _version(Path(sys.executable)):
        return f"{SYSTEM_PYTHON} is another Python than that of the tests"
    can = ["unshare", "--mount", "--pid", "--net", "--uts", "--cgroup", "--fork", "true"]
    if subprocess.run(can, capture_output=True, check=False).returncode != 0:
        return "namespaces may not be made here"
    return None


def _opt(image: Path, folder: Path) -> Path:
    """What the Dockerfile's steps installed, for the interpreter of the system, in /opt/routeq."""
    opt = folder / "opt"
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(opt)], check=True)
    [packages] = image.glob("lib/python*/site-packages")
    shutil.copytree(packages, opt / packages.relative_to(image), dirs_exist_ok=True)
    program = (image / "bin" / "routeq-mqtt").read_text()
    script = opt / "bin" / "routeq-mqtt"
    script.write_text("#!/opt/routeq/bin/python\n" + program.partition("\n")[2])
    script.chmod(0o755)
    return opt


@pytest.mark.slow
async def test_the_units_run_and_a_hung_worker_is_started_again(
    image: Path, tmp_path: Path
) -> None:
    reason = _why_not()
    if reason is not None:
        pytest.skip(reason)
    (tmp_path / "jobs.py").write_text(JOBS)
    opt = _opt(image, tmp_path)
    process = await Process.start(
        "systemd", "sh", str(ROOT / "tests" / "tools" / "systemd.sh"),
        str(opt), str(ROOT / "deploy" / "systemd"), str(tmp_path),
    )  # fmt: skip
    code = await process.ended(timeout=90)
    said = [line for line in process.lines if line.startswith(("started", "stopped", "restarts"))]
    assert code == 0, process.output
    assert [line for line in said if not line.startswith("restarts")] == [
        "started routeq-broker active as routeq",
        "started routeq-scheduler active as routeq",
        "started routeq-worker@default active as routeq",
        "stopped routeq-worker@default success 0",
        "stopped routeq-scheduler success 0",
        "stopped routeq-broker success 0",
        "started routeq-up active",
    ]
    [restarts] = [line for line in said if line.startswith("restarts")]
    assert restarts != "restarts 0", process.output
    assert (tmp_path / "ran").read_text() == "attempt 2"
