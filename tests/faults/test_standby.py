"""A leader that is killed, frozen or stopped beside a standby on the same database."""

from __future__ import annotations

import signal

import pytest

from routeq_mqtt.doctor.checks import standbys
from routeq_mqtt.doctor.patient import Patient
from routeq_mqtt.scheduler.store.lock import FileLock
from routeq_mqtt.settings.settings import Settings
from tests.faults.at_once import at_once
from tests.faults.site import Site


@at_once
async def test_a_standby_takes_over_from_a_leader_that_is_killed_under_load(site: Site) -> None:
    await site.start_scheduler("--standby")
    standby = await site.cluster.standby()
    await site.start_worker("--concurrency", "5")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "100")
    await site.start_producer("later", "--delayed", "0.7", "--failing", "0.5", "--rate", "50")
    await site.until("end", 50)
    await site.kill_scheduler()
    await standby.says(" online")
    await site.until("sent", site.count("sent") + 50)
    await site.end_producers()
    (await site.settled()).assert_sound()


@pytest.mark.slow
async def test_commands_show_leader_and_standby_and_a_frozen_leader_keeps_its_lock(
    sites: list[Site],
) -> None:
    site = sites[0]
    cluster = site.cluster
    leader = await site.start_scheduler()
    standby = await cluster.standby()
    assert f"pid={leader.pid}" in standby.output
    assert await cluster.cli("health", "--scheduler", "--standby") == (0, "ok")
    _, queues = await cluster.cli("queues")
    assert f"pid={leader.pid}; standby: " in queues
    assert f"pid={standby.pid}" in queues

    leader.send(signal.SIGSTOP)
    assert FileLock.if_free(site.db) is None
    assert " online" not in standby.output
    async with cluster.bus() as bus:
        patient = Patient(bus, Settings(url=cluster.url))
        [check] = await standbys(patient)
        assert check.found.startswith("1 wait to take over: ")
        assert f"pid={standby.pid}" in check.found
        assert await standby.stop() == 0, standby.output
        assert await standbys(patient) == []
    code, said = await cluster.cli("health", "--standby")
    assert (code, said) == (1, "no standby scheduler waits to take over")
