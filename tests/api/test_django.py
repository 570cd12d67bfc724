"""The Django project of the documents: real servers, real workers, real transactions."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from routeq_mqtt import Bus, Settings
from tests.api.pages import files, write
from tests.cluster.cluster import Cluster, free_port
from tests.cluster.jobs import Gated
from tests.cluster.process import ROOT, Process
from tests.cluster.recorder import TIMEOUT

pytest.importorskip("django")

from django.core.exceptions import ImproperlyConfigured

from routeq_mqtt.django import conf

MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
ASGI = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.asgi import get_asgi_application
application = get_asgi_application()
"""
JOBS_OF_THE_TEST = """

import threading

from asgiref.sync import sync_to_async
from django.db import connection

barrier = threading.Barrier(2)


@job(queue="orders", result_ttl=60)
def look() -> bool:
    was_open = connection.connection is not None
    Order.objects.count()
    return was_open


@job(queue="orders", result_ttl=60)
async def meet() -> int:
    return await sync_to_async(barrier.wait)(30)


@job(queue="orders", result_ttl=60, executor="process")
def count() -> int:
    return Order.objects.count()
"""


class Project:
    """The project of the page, in a folder of its own, on a bus."""

    def __init__(self, folder: Path, url: str, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = {**env, "PYTHONPATH": f"{folder}:{ROOT}:{ROOT / 'broker'}"}
        self.env.pop("ROUTEQ_URL", None)  # the settings say it
        programs = {**files("frameworks/django.md"), "manage.py": MANAGE, "asgi.py": ASGI}
        programs["settings.py"] = programs["settings.py"].replace("mqtt://127.0.0.1:1883", url)
        write(folder, programs)
        (folder / "shop" / "__init__.py").touch()
        with (folder / "shop" / "jobs.py").open("a") as jobs:
            jobs.write(JOBS_OF_THE_TEST)

    async def manage(self, *arguments: str) -> Process:
        command = (sys.executable, "manage.py", *arguments)
        return await Process.start(" ".join(arguments), *command, env=self.env, folder=self.folder)

    async def python(self, code: str) -> str:
        (self.folder / "script.py").write_text(code)
        process = await Process.start(
            "script", sys.executable, "script.py", env=self.env, folder=self.folder
        )
        assert await process.ended() == 0, process.output
        return process.output

    async def migrate(self) -> None:
        process = await self.manage("migrate", "--run-syncdb")
        assert await process.ended() == 0, process.output


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    one = Project(tmp_path / "site", "mqtt://127.0.0.1:9", {})
    await one.migrate()
    return one


async def test_nothing_is_lost_when_a_worker_is_killed(cluster: Cluster) -> None:
    project = Project(cluster.folder / "site", cluster.url, cluster.env)
    await project.migrate()

    async def worker(*flags: str) -> Process:
        process = await project.manage("routeq", "worker", "--queue", "orders", *flags)
        cluster.processes.append(process)
        await process.says("online")
        return process

    scheduler = await project.manage("routeq", "scheduler", "--db", "routeq.db")
    cluster.processes.append(scheduler)
    await scheduler.says("online")
    dying = await worker("--app", "tests.cluster.jobs", "--settings=settings")
    plain, asgi = free_port(), free_port()
    server = await project.manage("runserver", "--noreload", f"127.0.0.1:{plain}")
    uvicorn = await Process.start(
        "uvicorn", sys.executable, "-m", "uvicorn", "asgi:application", "--port", str(asgi),
        env=project.env, folder=project.folder,
    )  # fmt: skip
    cluster.processes += [server, uvicorn]
    await uvicorn.says("running on")
    await server.says("Quit the server")

    async with httpx.AsyncClient(timeout=TIMEOUT) as web, cluster.bus() as bus:

        async def buy(number: int) -> None:
            port = (plain, asgi)[number % 2]
            view = ("buy", "buy_async")[number // 2 % 2]
            answer = await web.get(f"http://127.0.0.1:{port}/{view}", params={"customer": "Ada"})
            assert answer.status_code == 200, server.output + uvicorn.output

        await asyncio.gather(*map(buy, range(8)))
        await bus.dispatch(Gated(key="killed", gate="open"), queue="orders")
        await cluster.recorder.count("waits", 1)
        await asyncio.gather(*map(buy, range(8, 16)))
        await dying.kill()
        await asyncio.gather(*map(buy, range(16, 24)))
        cluster.recorder.open("open")
        await worker("--app", "tests.cluster.jobs", "--threads", "1")
        async with asyncio.timeout(TIMEOUT):
            while (await web.get(f"http://127.0.0.1:{asgi}/finished")).json() != {"finished": 24}:
                pass
        await cluster.recorder.wait(lambda: "killed" in cluster.recorder.ran(), "it ran again")
        await _connections_of_jobs(bus)


async def _connections_of_jobs(bus: Bus) -> None:
    """No connection stays open in a thread of plain jobs; coroutines share none."""

    async def result(name: str) -> object:
        handle = await bus.dispatch_named(name, {}, queue="orders")
        return await handle.result(TIMEOUT)

    assert [await result("look"), await result("look")] == [False, False]
    assert sorted(await asyncio.gather(result("meet"), result("meet"))) == [0, 1]  # type: ignore[type-var]
    assert await result("count") == 24


@pytest.mark.slow
async def test_dispatch_on_commit_in_transactions(project: Project) -> None:
    said = await project.python("""\
import os, json, asyncio
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django
django.setup()
from django.db import transaction
from django.test import Client
from django.test.utils import setup_test_environment
from routeq_mqtt import ConfigurationError, PackingError, job
from routeq_mqtt.django import dispatch_on_commit
from routeq_mqtt.testing import fake
from shop.jobs import confirm, pack
from shop.models import Order
setup_test_environment()
said = {}
with fake() as bus:
    said["view"] = Client().get("/buy?customer=Ada", headers={"host": "127.0.0.1"}).json()
    said["sent"] = [one.job.order for one in bus.dispatched]
    with transaction.atomic():
        dispatch_on_commit(confirm.job(1))
        said["before"] = len(bus.dispatched)
    said["after"] = len(bus.dispatched)
    try:
        with transaction.atomic():
            dispatch_on_commit(confirm.job(1))
            raise KeyError
    except KeyError:
        said["rolled back"] = len(bus.dispatched)
    try:
        with transaction.atomic():
            dispatch_on_commit(confirm.job("text"))
    except PackingError as error:
        said["wrong"] = str(error)
    async def view():
        try:
            dispatch_on_commit(confirm.job(1))
        except ConfigurationError as error:
            said["coroutine"] = str(error)
    asyncio.run(view())
with fake(run=True) as bus:
    dispatch_on_commit(confirm.job(said["view"]["order"]))
    said["run"] = [len(bus.failed), Order.objects.get().confirmed]
print(json.dumps(said, default=str))
""")
    told = json.loads(said.splitlines()[-1])
    assert told["view"] == {"order": 1}
    assert told["sent"] == [1, 1]
    assert (told["before"], told["after"], told["rolled back"]) == (2, 3, 3)
    assert "order" in told["wrong"]
    assert "await dispatch(job)" in told["coroutine"]
    assert told["run"] == [0, True]
    assert sqlite3.connect(project.folder / "shop.db").execute(
        "SELECT confirmed, packed FROM shop_order"
    ).fetchall() == [(1, 0)]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"URLL": "x"}, "there is no setting 'URLL'; there are ACCEPT_UNSIGNED, CA_FILE"),
        ({"URL": "http://x"}, "ROUTEQ: "),
        ({"URL": ["x"]}, "must be a text or a number"),
        ("mqtt://x", "must be a dict"),
        ({"TIMEOUT": "soon"}, "ROUTEQ_TIMEOUT"),
    ],
)
def test_settings_that_make_no_sense(
    said: object, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "settings", SimpleNamespace(ROUTEQ=said))
    with pytest.raises(ImproperlyConfigured, match=re.escape(wrong)):
        conf.apply()


def test_the_environment_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"URL": "mqtt://there", "EVENTS": True, "TIMEOUT": 3, "OUTBOX": Path("x.db")}
    monkeypatch.setattr(conf, "settings", SimpleNamespace(ROUTEQ={**said, "USERNAME": None}))
    monkeypatch.setenv("ROUTEQ_URL", "mqtt://here")
    monkeypatch.setattr("routeq_mqtt.settings.env._beneath", {})
    conf.apply()
    found = Settings.from_environment()
    assert (found.url, found.events, found.timeout) == ("mqtt://here", True, 3)
    assert (found.outbox, found.username) == ("x.db", None)
