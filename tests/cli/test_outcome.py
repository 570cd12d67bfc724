"""What became of a job, orders and checks: the commands in this process, on every broker."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from routeq_mqtt.cli import app, main
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Gated, GivesUp
from tests.cluster.recorder import TIMEOUT
from tests.features.result_jobs import Returns


async def said(cluster: Cluster, *arguments: str, code: int = 0) -> str:
    """What a command prints when it ends with this exit code; no process is started for it."""
    env = {"COLUMNS": "300", "TERM": "dumb", **cluster.env}
    result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments], env=env)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


async def answered(cluster: Cluster, *arguments: str, code: int = 0) -> Any:
    return json.loads(await said(cluster, *arguments, "--json", code=code))


async def test_status_and_result_say_what_became_of_a_job(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--app", "tests.features.result_jobs")
    async with cluster.bus() as bus:
        done = await bus.dispatch(Returns(value={"key": "x"}), result_ttl=60)
        assert await done.result(TIMEOUT) == {"key": "x"}
        failed = await bus.dispatch(GivesUp())
        await cluster.failed_records(bus, 1)
        runs = await bus.dispatch(Gated(key="g", gate="go"))
        await cluster.recorder.count("waits", 1)
        later = await bus.later(3600, Gated(key="x", gate="g"))
        purged = await bus.later(3600, Gated(key="x", gate="g"), queue="other")
        assert await bus.purge("other") == 1
    done_id, failed_id, runs_id = done.id, failed.id, runs.id
    later_id, purged_id = later.id, purged.id
    assert f"{done_id} done" in await said(cluster, "status", done_id)
    assert await answered(cluster, "result", done_id) == {"id": done_id, "result": {"key": "x"}}
    assert json.loads(await said(cluster, "result", done_id[:24])) == {"key": "x"}

    assert "failed on purpose: Fail: no such customer" in await said(cluster, "status", failed_id)
    assert "no such customer" in await said(cluster, "result", failed_id, code=1)
    assert (await answered(cluster, "status", runs_id[:24]))["state"] == "running"
    assert "has not ended: running" in await said(cluster, "result", runs_id, code=1)
    assert (await answered(cluster, "status", later_id))["state"] == "delayed"
    several = await said(cluster, "status", later_id[:4], code=1)
    assert later_id in several, "the ids of one day begin alike"
    assert "write more of it" in several

    assert " cancelled" in await said(cluster, "status", purged_id)
    assert "was cancelled" in await said(cluster, "result", purged_id, code=1)
    assert "the scheduler does not know this id" in await said(cluster, "status", "none", code=1)
    assert "nothing is known of it" in await said(cluster, "result", "0" * 12 + "7" * 20, code=1)
    assert "is not known to the scheduler" in await said(cluster, "cancel", "nonesuch")


async def test_status_of_an_expired_job(cluster: Cluster) -> None:
    await cluster.scheduler()
    async with cluster.bus() as bus:
        job_id = await bus.dispatch_named(
            "Report", {"key": "x"}, delay=3600, expires_at=time.time() + 0.05
        )
        await cluster.failed_records(bus, 1)
    assert re.search(
        r"failed \(expired: .*expired at \d{4}-", await said(cluster, "status", job_id.id)
    )


async def test_orders_and_checks_answer_in_json(cluster: Cluster) -> None:
    await cluster.scheduler()
    told = await answered(cluster, "pause", "emails")
    assert told == {"name": "emails", "state": "paused", "obeyed": False}
    assert (await answered(cluster, "resume", "emails"))["state"] == "resumed"
    assert (await answered(cluster, "worker-drain", "press"))["state"] == "drained"
    assert (await answered(cluster, "worker-undrain", "press"))["name"] == "press"
    assert await answered(cluster, "health", "--scheduler") == {"ok": True, "problem": None}
    assert (await answered(cluster, "health", "--worker", code=1))["ok"] is False
    sent = await answered(cluster, "dispatch", "Report", "key=x", "--queue", "nowhere")
    assert sent["has_worker"] is False
    assert "no worker serves 'nowhere' now" in await said(
        cluster, "dispatch", "Report", "key=x", "--queue", "nowhere"
    )


@pytest.mark.parametrize(
    ("words", "named", "code"),
    [
        (["pause", "a/b"], "ConfigurationError", 4),
        (["pause"], "UsageError", 2),
        (["pase", "x"], "UsageError", 2),
        (["purge", "x"], "UsageError", 2),
        (["queues", "--url", "mqtt://127.0.0.1:1"], "ConnectionFailed", 3),
        (["status", "abc"], "ConfigurationError", 4),
    ],
)
def test_an_error_is_json_where_json_was_asked_for(
    words: list[str],
    named: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # a service in this process sets them up
    monkeypatch.setenv("ROUTEQ_TIMEOUT", "0.2")
    monkeypatch.setattr(sys, "argv", ["routeq-mqtt", *words, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    told = json.loads(shown.err)
    assert (told["kind"], told["exit_code"], ended.value.code) == (named, code, code)
    assert told["error"]
    assert not shown.out, "what reads the result never reads an error as one"
