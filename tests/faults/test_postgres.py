"""The scheduler's PostgreSQL is killed, or its leader is, beside a standby: all under load."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl
from tests.cluster.cluster import Cluster
from tests.cluster.postgres import Postgres, need_postgres
from tests.cluster.recorder import Recorder
from tests.faults.site import Site

_AWAY = "the database cannot be used now"

pytestmark = pytest.mark.slow


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    need_postgres()
    one = Postgres(is_safe=True)
    one.start()
    yield one
    one.close()


@pytest.fixture
async def site(server: Postgres, tmp_path: Path, recorder: Recorder) -> AsyncIterator[Site]:
    cluster = Cluster("embedded", tmp_path, recorder)
    cluster.db = PostgresUrl.parse(server.url)
    await cluster.start_broker()
    one = Site(cluster)
    yield one
    one.keep_logs()
    one.ledger.close()
    await cluster.close()


async def load(site: Site) -> None:
    await site.start_worker("--concurrency", "5")
    await site.start_producer("stored", "--confirm", "stored", "--rate", "100")
    await site.start_producer("later", "--delayed", "0.7", "--failing", "0.5", "--rate", "50")
    await site.until("end", 50)


async def test_a_database_that_is_killed_under_load_loses_nothing(
    site: Site, server: Postgres
) -> None:
    scheduler = await site.start_scheduler()
    await load(site)
    for _ in range(3):
        said = sum(_AWAY in line for line in scheduler.lines)
        server.kill()
        site.fault("database kill -9")
        await scheduler.says(_AWAY, said + 1)
        server.start()
        await site.until("sent", site.count("sent") + 50)
    await site.end_producers()
    (await site.settled()).assert_sound()


async def test_a_standby_takes_over_from_a_leader_that_is_killed(site: Site) -> None:
    await site.start_scheduler()
    standby = await site.cluster.standby()
    await load(site)
    await site.kill_scheduler()
    await standby.says(" online")
    await site.until("sent", site.count("sent") + 50)
    await site.end_producers()
    (await site.settled()).assert_sound()


async def test_a_leader_that_was_frozen_leaves_and_commits_nothing(site: Site) -> None:
    leader = await site.start_scheduler()
    standby = await site.cluster.standby()
    await load(site)
    leader.send(signal.SIGSTOP)
    site.fault("scheduler SIGSTOP")
    await standby.says(" online")
    leader.send(signal.SIGCONT)
    assert await leader.ended() != 0
    assert "taken over" in leader.output or "newer copy" in leader.output
    await site.until("sent", site.count("sent") + 50)
    await site.end_producers()
    (await site.settled()).assert_sound()
