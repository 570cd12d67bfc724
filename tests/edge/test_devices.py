"""Jobs from devices without this library: the real clients, the real bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.sensor_data.jobs import StoreReading
from routeq_mqtt.jobs.codec import from_envelope
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT, Process

DEVICES = ROOT / "examples" / "devices"
MICROPYTHON = Path(sys.prefix) / "micropython"


async def reader(cluster: Cluster) -> Process:
    await cluster.scheduler()
    return await cluster.worker("sensors", "--app", "examples.sensor_data.jobs")


@pytest.mark.parametrize("form", ["json", "msgpack"])
async def test_mosquitto_pub(cluster: Cluster, form: str) -> None:
    worker = await reader(cluster)
    script = str(DEVICES / "mosquitto_pub.sh")
    device = await Process.start("device", "sh", script, form, env={"PORT": str(cluster.port)})
    assert await device.ended() == 0, device.output
    await worker.says("sensor=roof celsius=21.5")


async def test_micropython(cluster: Cluster) -> None:
    interpreter = MICROPYTHON / "micropython"
    if not interpreter.exists():
        why = "MicroPython is not installed here: make micropython"
        if os.environ.get("CI") == "true" and shutil.which("apt-get") and os.geteuid() == 0:
            pytest.fail(why)
        pytest.skip(why)
    worker = await reader(cluster)
    (cluster.folder / "config.py").write_text(
        f"BROKER = '127.0.0.1'\nPORT = {cluster.port}\nDEVICE = 'roof'\nEVERY = 0\nREADINGS = 2\n"
    )
    device = await Process.start(
        "device",
        str(interpreter),
        str(DEVICES / "micropython" / "main.py"),
        env={"MICROPYPATH": f"{cluster.folder}:{MICROPYTHON / 'lib'}"},
    )
    assert await device.ended() == 0, device.output
    await worker.says("sensor=roof celsius=21.5", times=2)


ARDUINO = """
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
inline void delay(unsigned long) { std::exit(0); }
inline float temperatureRead() { return -7.25f; }
"""

WIFI = """
#include "Arduino.h"
#define WL_CONNECTED 3
struct WiFiClient {};
struct { void begin(const char *, const char *) {} int status() { return WL_CONNECTED; } } WiFi;
"""

PUBSUBCLIENT = """
#include "Arduino.h"
#include "WiFi.h"
struct PubSubClient {
  bool up = false;
  PubSubClient(WiFiClient &) {}
  void setServer(const char *, int) {}
  void setKeepAlive(int) {}
  bool connected() { return up; }
  bool connect(const char *) { return up = true; }
  bool publish(const char *topic, const uint8_t *bytes, unsigned length) {
    std::printf("%s\\n", topic);
    std::fwrite(bytes, 1, length, stdout);
    return true;
  }
};
"""

MAIN = """
#include "Arduino.h"
#include "reading.ino"
int main() { setup(); for (;;) loop(); }
"""


@pytest.fixture
def sketch(tmp_path: Path) -> tuple[str, bytes]:
    """Topic and bytes of what the sketch publishes: compiled as it is, with a radio of ours."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        if os.environ.get("CI") == "true":
            pytest.fail("a C++ compiler is missing; the continuous integration must install it")
        pytest.skip("a C++ compiler is not installed")
    for name, text in (
        ("Arduino.h", ARDUINO),
        ("WiFi.h", f"#pragma once{WIFI}"),
        ("PubSubClient.h", f"#pragma once{PUBSUBCLIENT}"),
        ("main.cpp", MAIN),
    ):
        (tmp_path / name).write_text(text)
    program = str(tmp_path / "sketch")
    where = (f"-I{tmp_path}", f"-I{DEVICES / 'reading'}")
    subprocess.run(
        [compiler, "-std=c++17", "-Wall", *where, str(tmp_path / "main.cpp"), "-o", program],
        check=True,
        timeout=120,
    )
    said = subprocess.run([program], check=True, capture_output=True, timeout=30).stdout
    topic, _, payload = said.partition(b"\n")
    return topic.decode(), payload


def test_the_sketchs_bytes_are_an_envelope(sketch: tuple[str, bytes]) -> None:
    topic, payload = sketch
    assert topic == "$queue/sensors"
    envelope = Envelope.decode(payload)
    job = from_envelope(envelope)
    assert isinstance(job, StoreReading)
    assert (job.sensor, job.celsius) == ("roof", -7.25)
    assert envelope.extra == {}
    lean = Envelope(job="store_reading", data={"sensor": "roof", "celsius": -7.25})
    assert len(payload) <= len(lean.encode())  # a 32-bit float where Python sends 64


async def test_the_sketchs_bytes_run_as_a_job(cluster: Cluster, sketch: tuple[str, bytes]) -> None:
    worker = await reader(cluster)
    topic, payload = sketch
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        await connection.publish(topic, payload, qos=0)  # as PubSubClient does
        await worker.says("sensor=roof celsius=-7.25")


@pytest.mark.parametrize("name", ["mosquitto_pub.sh", "reading/reading.ino", "micropython/main.py"])
def test_an_example_for_a_device_is_short(name: str) -> None:
    assert len((DEVICES / name).read_text().splitlines()) < 60
