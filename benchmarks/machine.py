"""The machine on which the figures were measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.cluster.cluster import mosquitto


def machine() -> dict[str, str]:
    """Processor, memory, operating system and versions."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}",
        "memory": f"{memory:.1f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "mosquitto": _mosquitto_version(),
        **{name: version(name) for name in ("routeq-mqtt", "aiomqtt", "paho-mqtt", "msgpack")},
        "uvloop": _installed("uvloop"),
    }


def _mosquitto_version() -> str:
    path = mosquitto()
    if path is None:
        return "not installed"
    said = subprocess.run([path, "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found.group(1) if found else "unknown"


def _installed(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return "not installed"
