"""Signed and sealed jobs on real brokers; one is signed by a shell with openssl."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Flaky, Hopeless, Report

SIGNING = "k2:new-secret,k1:old-secret"
SEALING = f"e1:{base64.b64encode(bytes(32)).decode()}"
KEYS = {"ROUTEQ_SIGNING_KEYS": SIGNING, "ROUTEQ_ENCRYPTION_KEYS": SEALING}


def bus_of(cluster: Cluster, signing: str | None = SIGNING, sealing: str | None = SEALING) -> Bus:
    return Bus(settings=Settings(url=cluster.url, signing_keys=signing, encryption_keys=sealing))


async def test_signed_and_sealed_jobs_run_retry_and_fail_without_showing_anything(
    cluster: Cluster,
) -> None:
    await cluster.scheduler(**KEYS)
    worker = await cluster.worker("default", **KEYS)
    async with bus_of(cluster) as bus:
        await bus.dispatch(Report(key="now"))
        await bus.later(0.05, Report(key="later"))
        await bus.dispatch(Report(key="stored"), confirm="stored")
        await bus.bulk(Report(key=f"bulk {number}") for number in range(20))
        await bus.dispatch(Flaky())
        failed = await bus.dispatch(Hopeless(secret="plaintext-4111"))
        await cluster.recorder.count("ran", 24)
        await cluster.failed_records(bus, 1)
    code, closed = await cluster.cli("failed", "show", failed.id, "--json")
    assert code == 0
    assert "plaintext-4111" not in closed
    assert "never works" not in closed
    assert "plaintext-4111" not in worker.output
    shown = await cluster.cli_with(KEYS, "failed", "show", failed.id, "--json")
    record = json.loads(shown)
    assert record["data"] == {"secret": "plaintext-4111"}
    assert record["error"] == "ValueError: never works"
    assert "raise ValueError" in record["attempts"][0]["traceback"]


async def test_refused_jobs_are_kept_with_their_reason(cluster: Cluster) -> None:
    await cluster.scheduler(**KEYS)
    await cluster.worker("default", **KEYS)
    async with cluster.bus() as unsigned:
        await unsigned.dispatch(Report(key="unsigned"))
    async with bus_of(cluster, "k1:guessed") as forger:
        await forger.dispatch(Report(key="forged"))
    async with bus_of(cluster, "k1:old-secret", None) as older, bus_of(cluster) as bus:
        await older.dispatch(Report(key="older key"))
        records = await cluster.failed_records(bus, 2)
        await cluster.recorder.count("ran", 1)
        assert {record["reason"] for record in records} == {"refused"}
        errors = sorted(record["error"] for record in records)
    assert "does not fit" in errors[0]
    assert "there is none" in errors[1]
    assert cluster.recorder.ran() == {"older key": 1}


async def test_a_shell_signs_with_openssl(cluster: Cluster) -> None:
    """The lines of docs/wire-format.md."""
    if shutil.which("openssl") is None or shutil.which("mosquitto_pub") is None:
        pytest.skip("openssl or mosquitto_pub is not installed")
    await cluster.scheduler()
    await cluster.worker("default", ROUTEQ_SIGNING_KEYS=SIGNING)
    until = int(time.time()) + 3600
    script = f"""
    BODY='{{"id":"pump-7-1","job":"Report","data":{{"key":"from a shell"}},"until":{until}}}'
    MAC=$(printf 'routeq-signed-1\nk1\n%s' "$BODY" | openssl dgst -sha256 -hmac old-secret -r)
    TEXT=$(printf '%s' "$BODY" | sed 's/"/\\\\"/g')
    mosquitto_pub -p {cluster.port} -V mqttv311 -q 1 -t '$queue/default' -m '{{"id":"pump-7-1",'\
'"job":"Report","signed":{{"key":"k1","body":"'"$TEXT"'","mac":"'"${{MAC%% *}}"'"}}}}'
    """
    shell = await asyncio.create_subprocess_exec("sh", "-c", script)
    assert await shell.wait() == 0
    await cluster.recorder.count("ran", 1)
    assert cluster.recorder.ran() == {"from a shell": 1}
