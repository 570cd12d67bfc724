"""The examples of docs/edge.md run as they stand there."""

from __future__ import annotations

import re
import sys
from dataclasses import fields

from routeq_mqtt import OutboxOptions
from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT, Process

TEXT = (ROOT / "docs" / "edge.md").read_text()


def block(heading: str) -> str:
    """The first block of Python under a heading."""
    part = TEXT.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    found = re.search(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found.group(1)


async def run(cluster: Cluster, code: str) -> None:
    path = cluster.folder / "program.py"
    path.write_text(code.replace('"outbox.db"', repr(str(cluster.folder / "outbox.db"))))
    program = await Process.start("program", sys.executable, str(path), env=cluster.env)
    assert await program.ended() == 0, program.output


async def test_outbox_and_sync_bus(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await cluster.worker("sensors", "--app", "examples.sensor_data.jobs")
    await run(cluster, block("Outbox"))
    await worker.says("sensor=roof celsius=21.5")
    await run(cluster, block("Without an event loop"))
    await worker.says("sensor=button 7 celsius=0.0")


async def test_trigger(cluster: Cluster) -> None:
    folder = cluster.folder / "app"
    folder.mkdir()
    (folder / "readme_jobs.py").write_text(block("Triggers"))
    await cluster.scheduler()
    worker = await Process.cli(
        "worker", "worker", "--app", "readme_jobs",
        env=cluster.env | {"PYTHONPATH": f"{ROOT}:{folder}"},
    )  # fmt: skip
    cluster.processes.append(worker)
    await worker.says("declared")
    command = re.search(r"^    mosquitto_pub (.*)$", TEXT, re.MULTILINE)
    assert command is not None
    device = await Process.start(
        "device", "sh", "-c", f"mosquitto_pub -p {cluster.port} {command.group(1)}"
    )
    assert await device.ended() == 0, device.output
    await worker.says("roof 21.5")


def test_the_table_of_the_outbox_has_every_option() -> None:
    table = TEXT.partition("| option of `OutboxOptions`")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    assert named == {spec.name for spec in fields(OutboxOptions)}
