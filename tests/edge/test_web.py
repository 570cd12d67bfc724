"""What a web server keeps open over many requests, in the real frameworks: nothing that grows."""

from __future__ import annotations

import json
import sys

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.process import Process
from tests.edge.programs.web import PROGRAMS

pytest.importorskip("fastapi")
pytest.importorskip("flask")
pytest.importorskip("django")


@pytest.mark.parametrize("outbox", [False, True], ids=["direct", "outbox"])
@pytest.mark.parametrize("name", PROGRAMS)
async def test_files_threads_and_memory_stay_flat(
    cluster: Cluster, name: str, outbox: bool
) -> None:
    if cluster.kind != "mosquitto":
        pytest.skip("the broker makes no difference here, and 1,000 requests take a while")
    requests = 100 if outbox else 1_000
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "20", "--no-events")
    env = {"ROUTEQ_OUTBOX": "outbox.db"} if outbox else {}
    command = (sys.executable, "-m", "tests.edge.programs.web", name, str(requests))
    program = await Process.start(name, *command, env=cluster.env | env, folder=cluster.folder)
    cluster.processes.append(program)
    assert await program.ended(timeout=200) == 0, program.output
    before, after = json.loads(program.lines[0])
    assert len(program.lines) == 1, program.output
    assert after[0] <= before[0] + 3, (before, after)
    assert after[1] <= before[1] + 2, (before, after)
    assert after[2] <= before[2] + 8, (before, after)
    await cluster.recorder.count("ran", requests)
    assert set(cluster.recorder.ran().values()) == {1}
