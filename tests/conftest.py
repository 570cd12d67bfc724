"""Fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace, PostgresUrl
from routeq_mqtt.scheduler.store.store import Store
from tests.cluster.beside import Beside
from tests.cluster.cluster import KINDS, Cluster, Kind, mosquitto
from tests.cluster.dealing import Dealing
from tests.cluster.memory import MemoryCluster
from tests.cluster.postgres import Postgres, need_postgres
from tests.cluster.recorder import Recorder

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup all children would ignore it

# No deadline: no test is about time. Few examples where a commit waits, many where nobody does.
settings.register_profile("commit", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("thorough" if os.environ.get("CI") == "true" else "commit")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test on every broker; one marked `stock` also on a mosquitto without configuration.

    One marked `memory` also without a process, one marked `beside` also in a namespace beside
    another bus, one marked `dealt` also on a mosquitto where the scheduler deals, and one of those
    marked `processes` not. One marked `postgres` also on the embedded broker with the scheduler's
    database in PostgreSQL.
    """
    if "kind" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    kinds: list[Kind] = [*KINDS]
    if "stock" in marks:
        kinds.append("stock")
    if "memory" in marks and "processes" not in marks:
        kinds.append("memory")
    if "postgres" in marks:
        kinds.append("postgres")
    if "beside" in marks and "processes" not in marks:
        kinds += ["shared mosquitto", "shared embedded"]
    if "dealt" in marks and "processes" not in marks:
        kinds.append("dealing mosquitto")
    metafunc.parametrize("kind", kinds, indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    if chosen in {"mosquitto", "stock", "shared mosquitto", "dealing mosquitto"}:
        need_mosquitto()
    return chosen


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of this process; skips where there is none."""
    need_postgres()
    one = Postgres()
    one.start()
    yield one
    one.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> DatabasePlace:
    """Where a scheduler's database is to be made, on each kind."""
    if request.param == "sqlite":
        return tmp_path / "routeq.db"
    server: Postgres = request.getfixturevalue("postgres")
    return PostgresUrl.parse(server.url)


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[Store]:
    """For what only SQLite has."""
    one = await Store.open(tmp_path / "routeq.db")
    yield one
    await one.close()


@pytest.fixture
def mosquitto_pub() -> str:
    """What a device publishes with; a package of its own beside the broker."""
    found = shutil.which("mosquitto_pub")
    if found is None:
        missing()
    return str(found)


def need_mosquitto() -> None:
    """Skip the test where there is no mosquitto; fail it where there must be one."""
    if mosquitto() is None:
        missing()


def missing() -> NoReturn:
    """End a test that needs what is not installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(
            "mosquitto is missing; the continuous integration must install it and its clients"
        )
    pytest.skip("mosquitto is not installed")


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    one = Recorder()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def cluster(
    request: pytest.FixtureRequest, kind: Kind, tmp_path: Path, recorder: Recorder
) -> AsyncIterator[Cluster]:
    """A broker that runs, and nothing else."""
    one = make_cluster(kind, tmp_path, recorder)
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        one.db = PostgresUrl.parse(server.url)
    await one.start_broker()
    try:
        yield one
    finally:
        await one.close()


def make_cluster(kind: Kind, folder: Path, recorder: Recorder) -> Cluster:
    if kind == "memory":
        return MemoryCluster(folder, recorder)
    if kind == "dealing mosquitto":
        return Dealing(folder, recorder)
    if kind == "shared embedded":
        return Beside("embedded", folder, recorder)
    if kind == "shared mosquitto":
        return Beside("mosquitto", folder, recorder)
    return Cluster(kind, folder, recorder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes are slow: part of `make test`, left out of `make check`."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec is not None else {}
        if "cluster" in getattr(item, "fixturenames", ()) and params.get("kind") != "memory":
            item.add_marker(pytest.mark.slow)
