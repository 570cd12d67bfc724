"""The rate of a queue, on both brokers, past every way into it and whatever is killed."""

from __future__ import annotations

import json
import signal

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.cli.manage.rates import parse_rate, shown_rate
from routeq_mqtt.errors import ConfigurationError
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, Report
from tests.cluster.process import Process
from tests.features.test_control import unstarted, until


async def waiting(cluster: Cluster, bus: Bus, number: int, *, running: int = 0) -> None:
    """Wait until so many jobs wait for their turn, and no other one but those is on its way."""

    def as_wanted(sizes: dict[str, dict[str, int]]) -> bool:
        size = sizes.get("default", {})
        return (size.get("limited"), size.get("released")) == (number, running)

    await cluster.ask_until(bus, "sizes", as_wanted)


async def device_sends(cluster: Cluster, key: str) -> None:
    message = {"job": "Report", "data": {"key": key}}
    device = await Process.start(
        f"device-{key}", "mosquitto_pub", "-p", str(cluster.port), "-q", "1",
        "-t", "$queue/default", "-m", json.dumps(message),
    )  # fmt: skip
    assert await device.ended() == 0, device.output


async def test_the_rate_of_a_queue_holds_for_every_way_into_it_and_whatever_dies(
    cluster: Cluster,
) -> None:
    """Three may start: one before the limit, two by its bucket. The other seven wait."""
    scheduler = await cluster.scheduler()
    worker = await cluster.worker("default", "--concurrency", "1", "--prefetch", "5")
    async with cluster.bus(timeout=30.0) as bus:
        await bus.dispatch(Gated(key="before", gate="go"))
        await cluster.recorder.count("waits", 1)
        # These are in the broker's and in the worker's hands, past the scheduler.
        await bus.bulk(Report(key=f"early {n}") for n in range(4))
        await unstarted(cluster, bus, "default", 4)
        code, shown = await cluster.cli("limit", "default", "2/h", "--json")
        assert (code, json.loads(shown)) == (0, {"queue": "default", "rate": [2, 3600.0]})
        await worker.says("limited default: yes")
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 3)
        await waiting(cluster, bus, 2)
        await bus.dispatch(Report(key="plain"))
        await bus.dispatch(Report(key="stored"), confirm="stored")
        await bus.dispatch(Report(key="later"), delay=0.01)
        await device_sends(cluster, "device")
        await waiting(cluster, bus, 6)
        size = await bus.size("default")
        assert (size.held, size.rate) == (6, (2.0, 3600.0))
        assert "default (at most 2/h)" in (await cluster.cli("queues"))[1]
        await scheduler.kill()
        await worker.kill()
        await cluster.restart_broker(signal.SIGKILL)
        await cluster.scheduler()
        await cluster.worker()
        await bus.dispatch(Report(key="at last"))
        await waiting(cluster, bus, 7)
        assert len(cluster.recorder.ran()) == 3
        await bus.limit_queue("default", None)
        await cluster.recorder.count("ran", 10)
        await until(cluster, bus, "default", total=0, rate=None)
        await bus.dispatch(Report(key="free"))
        await cluster.recorder.count("ran", 11)
    assert set(cluster.recorder.ran().values()) == {1}


@pytest.mark.parametrize("step", ["ordered", "granted;3", "withdrawn"])
async def test_no_start_is_lost_or_given_twice_wherever_the_scheduler_dies(
    cluster: Cluster, step: str
) -> None:
    """Whoever ordered and got no answer orders again: twice is once."""
    succession = await cluster.succession(await cluster.dying_scheduler(step))
    await cluster.worker()
    async with cluster.bus() as bus:
        await order(cluster, bus, [2, 3600])
        await bus.bulk(Report(key=str(n)) for n in range(4))
        await cluster.recorder.count("ran", 2)
        if step == "withdrawn":
            await order(cluster, bus, None)
            await cluster.recorder.count("ran", 4)
        else:
            await waiting(cluster, bus, 2)
        await succession
    assert cluster.recorder.ran() == dict.fromkeys(cluster.recorder.ran(), 1)
    assert len(cluster.recorder.ran()) == (4 if step == "withdrawn" else 2)


async def order(cluster: Cluster, bus: Bus, rate: list[float] | None) -> None:
    await cluster.ask_until(
        bus, "queue.limit", lambda answer: answer is None, queue="default", rate=rate, timeout=1.0
    )


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/m", (100, 60.0)), ("10/s", (10, 1.0)), ("5/30s", (5, 30.0)), ("7/90", (7, 90.0))],
)
def test_a_rate_is_read_as_it_is_written(text: str, rate: tuple[int, float]) -> None:
    assert parse_rate(text, "rate") == rate
    assert parse_rate(shown_rate(rate), "rate") == rate


@pytest.mark.parametrize("text", ["", "5", "5/", "0/m", "-1/m", "5/0s", "m/5", "5/m/s", "1/1e9"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="rate="):
        parse_rate(text, "rate")


@pytest.mark.parametrize("rate", [(0.5, 1), (1, 0), (1, float("nan")), (1,), "1/m", (True, 1)])
async def test_a_queue_takes_no_rate_that_is_none(rate: object) -> None:
    with pytest.raises(ConfigurationError, match="limit_queue: rate"):
        await Bus("mqtt://127.0.0.1:1").limit_queue("default", rate)  # type: ignore[arg-type]
