"""Every block of the README runs, from top to bottom, on every broker."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT, Process

README = (ROOT / "README.md").read_text()

_BLOCK = re.compile(
    r"(?:^`(?P<file>\w+\.py)`:\n\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$"
    r"|^<!-- worker says: (?P<says>.*?) -->$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_ONLINE = {"broker": "listens", "scheduler": "online", "worker": "online"}
"""Commands that run until they are stopped, and what they say when they are there."""


@dataclass
class Story:
    """A folder in which the blocks run one after the other, as a reader would type them."""

    cluster: Cluster
    folder: Path
    workers: list[Process] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """The reader's shell: our port instead of 1883, our commands first in the PATH."""
        return self.cluster.env | {
            "ROUTEQ_DB": str(self.folder / "routeq.db"),
            "PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, (self.folder, ROOT, ROOT / "broker"))),
        }

    def install(self) -> None:
        """Put the commands of a reader who has installed us into the PATH."""
        (self.folder / "bin").mkdir()
        commands = {
            "routeq-mqtt": f'"{sys.executable}" -m routeq_mqtt.cli "$@"',
            "python": f'"{sys.executable}" "$@"',
            "mosquitto_pub": f'/usr/bin/env PATH="{os.environ["PATH"]}" '
            f'mosquitto_pub -p {self.cluster.port} "$@"',
        }
        for name, command in commands.items():
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\nexec {command}\n")
            path.chmod(0o755)

    async def sh(self, line: str) -> None:
        """Run one line: a service is left running, anything else ends with exit code 0."""
        words = shlex.split(line)
        if words[:2] == ["routeq-mqtt", "up"]:  # its broker is the one that this test is about
            await self.sh("routeq-mqtt scheduler")
            await self.sh(f"routeq-mqtt worker {shlex.join(words[2:])}")
            return
        if words[0] == "mosquitto" or words[:2] == ["routeq-mqtt", "broker"]:
            return  # the cluster has started the one that this test is about
        if words[:2] == ["pip", "install"]:
            return  # a test of its own, once
        command, folder = _as_tested(line)
        process = await Process.start(line, "sh", "-c", f"cd {folder or self.folder}; {command}",
                                      env=self.env)  # fmt: skip
        service = words[1] if words[0] == "routeq-mqtt" else ""
        if service in _ONLINE:
            self.cluster.processes.append(process)
            await process.says(_ONLINE[service])
            if service == "worker":
                self.workers.append(process)
        else:
            assert await process.ended() == 0, f"{line}\n{process.output}"

    async def python(self, file: str | None, code: str) -> None:
        """A file that is named is written, a script without a name runs."""
        if file is not None:
            (self.folder / file).write_text(code)
            return
        (self.folder / "script.py").write_text(code)
        await self.sh("python script.py")

    async def says(self, text: str) -> None:
        """Wait until one of the workers has printed something."""
        waiting = {asyncio.create_task(worker.says(text)) for worker in self.workers}
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        for task in done:
            task.result()


def _as_tested(line: str) -> tuple[str, Path | None]:
    """How a line is run that would otherwise change this machine, or start ourselves."""
    if line == "make test":
        return "exec make -n test", ROOT  # it is what runs this test
    if line == "make demo":
        return f"exec '{sys.executable}' -m examples.demo", ROOT
    return f"exec {line}", None


async def test_every_block_of_the_readme_runs(
    cluster: Cluster, tmp_path: Path, mosquitto_pub: str
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    story = Story(cluster, folder)
    story.install()
    for block in _BLOCK.finditer(README):
        if block["says"]:
            await story.says(block["says"])
        elif block["language"] == "python":
            await story.python(block["file"], block["code"])
        else:
            assert block["language"] == "sh", f"nobody runs this block: {block[0]}"
            for line in block["code"].splitlines():
                await story.sh(line)


@pytest.mark.slow
async def test_the_lines_that_install_us_work() -> None:
    lines = re.findall(r"^pip install (.*)$", README, re.MULTILINE)
    assert lines
    for line in lines:
        command = f"'{sys.executable}' -m pip install --quiet --dry-run {line}"
        process = await Process.start("pip", "sh", "-c", f"cd '{ROOT}'; exec {command}")
        assert await process.ended(timeout=300) == 0, process.output


def test_the_first_job_is_shown_before_line_30() -> None:
    first = README.splitlines()[:30]
    assert any("bus.dispatch(" in line for line in first)


def test_links_of_the_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in _LINK.findall(page.read_text())]
    wrong = [
        f"{page.relative_to(ROOT)}: {link}"
        for page, link in links
        if not (page.parent / link).exists()
    ]
    assert not wrong


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_flags_that_the_page_of_commands_names_exist(command: str) -> None:
    from typer.main import get_command

    from routeq_mqtt.cli import app

    page = (ROOT / "docs" / "command-line.md").read_text()
    section = page.partition(f"\n## {command.capitalize()}\n")[2].partition("\n## ")[0]
    known = get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {name for parameter in known.params for name in parameter.opts}
    named = set(re.findall(r"--[a-z][a-z-]+", section))
    assert named
    assert named <= options, f"{named - options} are no flags of {command}"
