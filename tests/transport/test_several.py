"""Several addresses: tried in order, then in turn; a whole bus moves to the second broker."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from routeq_mqtt import Bus, ConnectionFailed
from routeq_mqtt.doctor.checks import examine
from routeq_mqtt.embedded import make_broker
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.transport.several import make_transport
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.cluster import jobs
from tests.cluster.cluster import free_port
from tests.cluster.jobs import Report
from tests.cluster.recorder import TIMEOUT, Recorder


def settings_of(*ports: int) -> Settings:
    return Settings(url=", ".join(f"mqtt://127.0.0.1:{port}" for port in ports))


def test_addresses_are_separated_by_commas_before_a_scheme() -> None:
    tls = Settings(url="mqtts://a,mqtts://u:p@b:1", ca_file="ca", username="x")
    assert [str(one) for one in tls.addresses()] == ["mqtts://a:8883", "mqtts://b:1"]
    assert [one.username for one in tls.addresses()] == ["x", "u"]
    assert {one.ca_file for one in tls.addresses()} == {"ca"}
    [one] = Settings(url="mqtt://u:pass,word@h").addresses()
    assert one.password == "pass,word"  # noqa: S105
    assert isinstance(make_transport([one]), AioTransport)


async def test_when_all_addresses_fail_the_error_names_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = free_port(), free_port()
    transport = make_transport(settings_of(first, second).addresses())
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(ConnectionFailed, match=f"^no broker of 2 .*:{first}: .*:{second}: "),
    ):
        await transport.connect(ConnectOptions("c"), lambda message: None)
    assert [f":{port} is passed over: " in caplog.text for port in (first, second)] == [True, True]


async def test_connections_that_are_left_at_another_address_are_closed() -> None:
    first = make_broker("127.0.0.1:0", None)
    await first.start()
    async with make_broker("127.0.0.1:0", None) as second:
        ports = (first.port, second.port)
        transport = make_transport(settings_of(*ports).addresses())
        one = await transport.connect(ConnectOptions("one"), lambda message: None)
        listening = first._listeners
        assert listening is not None
        listening.close()  # who is there stays; nobody else is let in
        two = await transport.connect(ConnectOptions("two"), lambda message: None)
        async with asyncio.timeout(TIMEOUT):
            await one.lost
        assert not two.lost.done()
        await two.close()
    await first.stop()


async def test_a_connection_whose_loop_has_ended_keeps_nobody_from_moving_on() -> None:
    first = make_broker("127.0.0.1:0", None)
    await first.start()
    async with make_broker("127.0.0.1:0", None) as second:
        ports = (first.port, second.port)
        transport = make_transport(settings_of(*ports).addresses())

        def in_another_loop() -> None:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(transport.connect(ConnectOptions("one"), lambda message: None))
            loop.close()

        await asyncio.to_thread(in_another_loop)
        listening = first._listeners
        assert listening is not None
        listening.close()
        two = await transport.connect(ConnectOptions("two"), lambda message: None)
        assert not two.lost.done()
        await two.close()
    await first.stop()


@pytest.mark.slow
async def test_worker_scheduler_and_producer_go_on_at_the_second_broker(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTEQ_TEST_RECORDER", str(recorder.port))
    first = make_broker("127.0.0.1:0", None)
    await first.start()
    async with make_broker("127.0.0.1:0", None) as second:
        ports = (first.port, second.port)
        settings = settings_of(*ports)
        addresses = settings.addresses()
        scheduler = Scheduler(make_transport(addresses), SchedulerOptions(db=tmp_path / "r.db"))
        worker = Worker(make_transport(addresses), WorkerOptions(shutdown_timeout=0.0))
        running = [asyncio.create_task(one.run()) for one in (scheduler, worker)]
        await scheduler.online.wait()
        await worker.online.wait()
        async with Bus(settings=settings) as bus:
            await bus.dispatch(Report(key="at the first"))
            await recorder.count("ran", 1)
            await bus.later(1.0, Report(key="delayed"))
            await first.stop()
            async with asyncio.timeout(TIMEOUT):
                while recorder.ran()["at the second"] < 1:
                    try:
                        await bus.dispatch(Report(key="at the second"))
                        await recorder.wait(lambda: recorder.ran()["at the second"] > 0)
                    except ConnectionFailed:
                        continue
            await recorder.wait(lambda: recorder.ran()["delayed"] == 1)
            checks = await examine(replace(settings, timeout=2.0))  # that long for the first one
        worker.stop()
        await running[1]
        scheduler.stop()
        await running[0]
        await jobs.disconnect()
    assert f"127.0.0.1:{ports[1]} " in checks[0].found
    [passed_over] = [check for check in checks if check.name == "address"]
    assert f"127.0.0.1:{ports[0]}: " in passed_over.found
