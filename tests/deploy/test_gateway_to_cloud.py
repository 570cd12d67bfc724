"""examples/gateway_to_cloud with two real mosquittos: the link is cut, and nothing is lost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, free_port, mosquitto
from tests.cluster.jobs import Report
from tests.cluster.process import ROOT, Process
from tests.cluster.recorder import Recorder

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "gateway_to_cloud"


class ExampleBed(Cluster):
    """A mosquitto with the example's configuration; only ports and folder are the test's own."""

    def __init__(self, name: str, ports: dict[str, int], folder: Path, recorder: Recorder) -> None:
        super().__init__("mosquitto", folder, recorder)
        self.name = name
        self.ports = ports
        self.port = ports[name]
        self.url = f"mqtt://127.0.0.1:{self.port}"

    def _conf(self) -> str:
        text = (EXAMPLE / f"{self.name}.conf").read_text()
        assert "1893" in text or "1894" in text
        text = text.replace("1893", str(self.ports["site"]))
        text = text.replace("1894", str(self.ports["cloud"]))
        text = text.replace("persistence_location ./", f"persistence_location {self.folder}/")
        path = self.folder / f"{self.name}.conf"
        path.write_text(f"{text}\nuser root\nlog_dest stderr\n")
        return str(path)


JobRouter = tuple[ExampleBed, ExampleBed]


@pytest.fixture
async def places(tmp_path: Path, recorder: Recorder) -> AsyncIterator[JobRouter]:
    if mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    ports = {"site": free_port(), "cloud": free_port()}
    beds = []
    for name in ("cloud", "site"):
        folder = tmp_path / name
        folder.mkdir()
        one = ExampleBed(name, ports, folder, recorder)
        await one.start_broker()
        beds.append(one)
    yield beds[1], beds[0]
    for one in beds:
        await one.close()


async def test_the_site_goes_on_while_the_link_is_cut_and_nothing_is_lost(
    places: JobRouter,
) -> None:
    site, cloud = places
    await cloud.scheduler()
    await cloud.worker("orders")
    await site.scheduler("--bridged", "cloud-*")
    await site.worker("default")
    async with site.bus() as bus:
        await _orders(site, range(20))
        await site.recorder.count("ran", 20)
        await cloud.stop_broker()
        await _orders(site, range(20, 220))
        for number in range(20):
            await bus.dispatch(Report(key=f"at the site {number}"))
        await site.recorder.count("ran", 40)  # the site's own jobs, with the link cut
        await site.restart_broker()  # even a power cut at the site
        await _orders(site, range(220, 240))
        await cloud.start_broker()
        await site.recorder.wait(lambda: len(site.recorder.ran()) == 260, "all have arrived")
        sizes = await bus.requests.call("sizes")
    assert "cloud-orders" not in sizes, "the site's scheduler leaves them to the bridge"
    ran = site.recorder.ran()
    assert {key for key in ran if key.startswith("order")} == {f"order {n}" for n in range(240)}
    assert set(ran.values()) == {1}


async def test_the_example_as_it_is(places: JobRouter) -> None:
    site, cloud = places
    await cloud.scheduler()
    worker = await Process.cli(
        "worker", "worker", "--queue", "orders", "--app", "examples.gateway_to_cloud.jobs",
        env=cloud.env,
    )  # fmt: skip
    cloud.processes.append(worker)
    await worker.says("online")
    await site.scheduler("--bridged", "cloud-*")
    module = "examples.gateway_to_cloud.dispatch"
    sender = await Process.start("sender", sys.executable, "-m", module, env=site.env)
    assert await sender.ended() == 0, sender.output
    for number in range(10):
        await worker.says(f"order {number} of bern")


async def _orders(site: ExampleBed, numbers: range) -> None:
    async with site.bus(timeout=30.0) as bus:
        for number in numbers:
            await bus.dispatch(Report(key=f"order {number}"), queue="cloud-orders")
