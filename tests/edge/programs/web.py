"""Web programs whose views dispatch, each a real process: python -m tests.edge.programs.web NAME N.

Each prints, as JSON, its files, threads and megabytes after a tenth of N requests, and after N.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from routeq_mqtt import SyncBus, dispatch
from tests.cluster.jobs import Report

Request = Callable[[int], None]
"""Makes one request."""


def usage() -> tuple[int, int, float]:
    """Open files, threads, megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return files, threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def drive(request: Request, requests: int) -> None:
    """Make requests; say what the process takes early on, and at the end."""
    early = requests // 10
    for number in range(early):
        request(number)
    before = usage()
    for number in range(early, requests):
        request(number)
    print(json.dumps([before, usage()]), flush=True)


def fastapi(requests: int) -> None:
    """Asynchronous views, one event loop for all."""
    import httpx
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/{number}")
    async def view(number: int) -> str:
        return str(await dispatch(Report(key=str(number))))

    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web")
    with asyncio.Runner() as runner:

        def request(number: int) -> None:
            assert runner.run(client.get(f"/{number}")).status_code == 200

        drive(request, requests)


def flask_sync(requests: int) -> None:
    """Plain views with a SyncBus."""
    from flask import Flask

    app, bus = Flask(__name__), SyncBus()

    @app.get("/<number>")
    def view(number: str) -> str:
        return str(bus.dispatch(Report(key=number)))

    _flask(app.test_client().get, requests)


def flask_async(requests: int) -> None:
    """Asynchronous views: an event loop for each request."""
    from flask import Flask

    app = Flask(__name__)

    @app.get("/<number>")
    async def view(number: str) -> str:
        return str(await dispatch(Report(key=number)))

    _flask(app.test_client().get, requests)


def _flask(get: Callable[[str], object], requests: int) -> None:
    def request(number: int) -> None:
        assert getattr(get(f"/{number}"), "status_code", None) == 200

    drive(request, requests)


def django_sync(requests: int) -> None:
    """Plain views with a SyncBus."""
    from django.http import HttpResponse

    bus = SyncBus()

    def view(request: object, number: str) -> HttpResponse:
        return HttpResponse(str(bus.dispatch(Report(key=number))))

    _django(view, requests)


def django_async(requests: int) -> None:
    """Asynchronous views under WSGI: an event loop for each request."""
    from django.http import HttpResponse

    async def view(request: object, number: str) -> HttpResponse:
        return HttpResponse(str(await dispatch(Report(key=number))))

    _django(view, requests)


def _django(view: Callable[..., object], requests: int) -> None:
    import django
    from django.conf import settings
    from django.urls import path

    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests")
    django.setup()
    globals()["urlpatterns"] = [path("<number>", view)]
    from django.test import Client

    client = Client()

    def request(number: int) -> None:
        assert client.get(f"/{number}").status_code == 200

    drive(request, requests)


def daemon(requests: int) -> None:
    """A daemon that changes its folder and dispatches in runs of its own."""
    os.chdir("/")
    drive(lambda number: print(end=asyncio.run(dispatch(Report(key=str(number)))).id[:0]), requests)


PROGRAMS: dict[str, Callable[[int], None]] = {
    "fastapi": fastapi,
    "flask_sync": flask_sync,
    "flask_async": flask_async,
    "django_sync": django_sync,
    "django_async": django_async,
    "daemon": daemon,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](int(sys.argv[2]))
