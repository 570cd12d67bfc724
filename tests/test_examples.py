"""Every example runs as its README says, on every broker."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT, Process

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/README.md"))


async def service(cluster: Cluster, example: str) -> Process:
    """The worker of an example, started with the line of its README."""
    text = (ROOT / "examples" / example / "README.md").read_text()
    [flags] = re.findall(r"^    routeq-mqtt worker (.*)$", text, re.MULTILINE)
    worker = await Process.cli("worker", "worker", *flags.split(), env=cluster.env)
    cluster.processes.append(worker)
    await worker.says("online")
    return worker


async def program(cluster: Cluster, module: str, *arguments: str) -> Process:
    command = (sys.executable, "-m", f"examples.{module}", *arguments)
    process = await Process.start(module, *command, env=cluster.env)
    cluster.processes.append(process)
    return process


async def test_send_email(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await service(cluster, "send_email")
    sender = await program(cluster, "send_email.dispatch")
    assert await sender.ended() == 0, sender.output
    assert sender.lines[1] == "dispatched 100 more"
    await worker.says("attempt=1", times=101)
    mails = [line for line in worker.lines if line.startswith("to=")]
    assert len(set(mails)) == len(mails) == 101


async def test_sensor_data_with_nothing_but_mosquitto_pub(
    cluster: Cluster, mosquitto_pub: str
) -> None:
    await cluster.scheduler()
    worker = await service(cluster, "sensor_data")
    script = str(ROOT / "examples" / "sensor_data" / "device.sh")
    device = await Process.start("device", "sh", script, env={"PORT": str(cluster.port)})
    assert await device.ended() == 0, device.output
    await worker.says("sensor=roof celsius=21.5 at=2026-01-02 03:04:05+00:00")


async def test_a_report_later(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await service(cluster, "report_later")
    hour = await program(cluster, "report_later.dispatch")
    assert await hour.ended() == 0, hour.output
    assert hour.lines[0].endswith("; delayed now: 1")
    soon = await program(cluster, "report_later.dispatch", "0.3")
    assert await soon.ended() == 0, soon.output
    await worker.says("report for customer 42")
    async with cluster.bus() as bus:
        assert (await bus.size("reports")).delayed == 1  # the one in an hour waits on


async def test_failed_jobs(cluster: Cluster) -> None:
    await cluster.scheduler()
    worker = await service(cluster, "failed_jobs")
    sender = await program(cluster, "failed_jobs.dispatch")
    assert await sender.ended() == 0, sender.output
    assert sender.lines == [
        "failed on purpose: Fail: this card is stolen",
        "exception: RuntimeError: the terminal is broken",
    ]
    for text in ("charged good", "charged busy", "could not charge stolen: this card is stolen",
                 "could not charge broken: the terminal is broken"):  # fmt: skip
        await worker.says(text)
    code, output = await cluster.cli("failed", "list")
    assert code == 0
    assert "stolen" in output
    code, output = await cluster.cli("failed", "retry", "--all")
    assert (code, output) == (0, "2 jobs run again")
    await worker.says("could not charge broken", times=2)


async def test_dispatch_from_an_mqtt_handler(cluster: Cluster, mosquitto_pub: str) -> None:
    await cluster.scheduler()
    worker = await service(cluster, "mqtt_handler")
    bridge = await program(cluster, "mqtt_handler.bridge", "2")
    await bridge.says("listening")
    for state in ("open", "closed"):
        door = await Process.start(
            "door", mosquitto_pub, "-p", str(cluster.port), "-q", "1",
            "-t", "doors/front/state", "-m", state,
        )  # fmt: skip
        assert await door.ended() == 0, door.output
    assert await bridge.ended() == 0, bridge.output
    await worker.says("door=front open=True")
    await worker.says("door=front open=False")


@pytest.mark.slow
async def test_the_demo_ends_as_it_expects() -> None:
    demo = await Process.start("demo", sys.executable, "-m", "examples.demo")
    assert await demo.ended() == 0, demo.output
    assert demo.output.count("as expected") == 12
    assert "NOT" not in demo.output


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_tested_here(example: str) -> None:
    assert f"def test_{example}" in Path(__file__).read_text() or example in {
        "sensor_data",
        "mqtt_handler",
        "report_later",
        "devices",  # in tests/edge/test_devices.py
        "gateway_to_cloud",  # in tests/deploy/test_gateway_to_cloud.py
    }
