"""The programs of docs/frameworks, with the real frameworks, on servers and in processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import httpx
import pytest

from tests.api.pages import blocks, files, write
from tests.cluster.cluster import Cluster, free_port
from tests.cluster.jobs import Gated
from tests.cluster.process import ROOT, Process
from tests.cluster.recorder import TIMEOUT

for framework in ("fastapi", "flask", "uvicorn"):
    pytest.importorskip(framework)

CELLS = """\
import ast, asyncio, json, sys

async def main():
    for cell in json.loads(sys.argv[1]):
        code = compile(cell, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, globals())
        if running is not None:
            await running

asyncio.run(main())
"""
"""Runs cells as IPython does: at the top level of `__main__`, all in one event loop."""


async def start(cluster: Cluster, name: str, *command: str) -> Process:
    path = os.pathsep.join(map(str, (cluster.folder, ROOT, ROOT / "broker")))
    process = await Process.start(
        name, sys.executable, *command, env=cluster.env | {"PYTHONPATH": path},
        folder=cluster.folder,
    )  # fmt: skip
    cluster.processes.append(process)
    return process


async def worker(cluster: Cluster) -> Process:
    """One that also runs what only it can run: a job that waits, on the queue `killed`."""
    process = await start(
        cluster, "worker", "-m", "routeq_mqtt", "worker", "--queue", "killed,sums,inside",
        "--app", "jobs", "--app", "fast_jobs", "--app", "tests.cluster.jobs",
    )  # fmt: skip
    await process.says("online")
    return process


async def test_web_servers_lose_nothing_when_a_worker_is_killed(cluster: Cluster) -> None:
    jobs, _, fastapi, *_ = blocks("features/inside.md")
    write(cluster.folder, files("frameworks/flask.md"))
    write(cluster.folder, {"fast_jobs.py": jobs.replace("def add", "def fast_add")})
    fastapi = fastapi.replace("from jobs import add", "from fast_jobs import fast_add as add")
    write(cluster.folder, {"fast.py": fastapi})
    await cluster.scheduler()
    dying = await worker(cluster)
    flask, asgi = free_port(), free_port()
    plain = await start(
        cluster, "flask", "-m", "flask", "--app", "web", "run", "--port", str(flask)
    )
    uvicorn = await start(cluster, "uvicorn", "-m", "uvicorn", "fast:app", "--port", str(asgi))
    await plain.says("Running on")
    await uvicorn.says("running on")

    async with httpx.AsyncClient(timeout=TIMEOUT) as web, cluster.bus() as bus:

        async def call(method: str, url: str) -> object:
            answer = await web.request(method, f"http://127.0.0.1:{url}")
            assert answer.status_code == 200, plain.output + uvicorn.output
            return answer.json()

        async def post(number: int) -> tuple[int, str]:
            views = (f"{flask}/add/{number}/1", f"{flask}/add_async/{number}/1")
            url = (*views, f"{asgi}/add?one={number}&other=1")[number % 3]
            told = await call("POST", url)
            assert isinstance(told, dict)
            return number, str(told["id"])

        posted = await asyncio.gather(*map(post, range(6)))
        await bus.dispatch(Gated(key="killed", gate="open"), queue="killed")
        await cluster.recorder.count("waits", 1)
        posted += await asyncio.gather(*map(post, range(6, 12)))
        await dying.kill()
        posted += await asyncio.gather(*map(post, range(12, 18)))
        cluster.recorder.open("open")
        await worker(cluster)
        for number, job_id in posted:
            if number % 3 == 2:
                assert await call("GET", f"{asgi}/sums/{job_id}") == number + 1
            else:
                assert await call("GET", f"{flask}/sums/{job_id}") == {"sum": number + 1}
        await cluster.recorder.wait(lambda: "killed" in cluster.recorder.ran(), "it ran again")


async def test_a_program_of_typer_and_a_notebook(cluster: Cluster) -> None:
    if cluster.kind != "embedded":
        pytest.skip("the broker makes no difference here, and each process takes a while")
    write(cluster.folder, files("frameworks/typer.md"))
    write(cluster.folder, {"cells.py": CELLS, "fast_jobs.py": ""})
    await cluster.scheduler()
    await worker(cluster)
    program = await start(cluster, "program", "program.py", "3", "4", "--wait")
    assert await program.ended() == 0, program.output
    assert blocks("frameworks/typer.md", "text") == [f"{program.output}\n"]

    define, *others = blocks("frameworks/jupyter.md")
    notebook = await start(cluster, "notebook", "cells.py", json.dumps([define, define, *others]))
    assert await notebook.ended() == 0, notebook.output
    assert blocks("frameworks/jupyter.md", "text") == [f"{notebook.output}\n"]
