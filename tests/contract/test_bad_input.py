"""Whatever arrives: it is kept with its bytes, and the worker runs on."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from routeq_mqtt import PackingError, PayloadTooLarge
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import OldStyle, Report

pytestmark = [pytest.mark.stock, pytest.mark.memory]


def envelope(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"job": "Report", "data": {"key": "bad"}} | changes
    packed: bytes = msgpack.packb(fields)
    return packed


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


BAD: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\xde\xad\xbe\xef", "unreadable"),
    "text": (b"hello", "unreadable"),
    "empty": (b"", "unreadable"),
    "truncated": (envelope(id="a" * 32)[:-5], "unreadable"),
    "followed by more": (envelope() + b"\x00", "unreadable"),
    "nested msgpack": (nested(100_000), "unreadable"),
    "nested JSON": (b'{"job":' + b"[" * 100_000, "unreadable"),
    "JSON with NaN": (b'{"job": "Report", "delay": NaN}', "unreadable"),
    "no map": (msgpack.packb([1, 2]), "unreadable"),
    "keys are numbers": (msgpack.packb({1: 2}), "unreadable"),
    "no job": (msgpack.packb({"data": {}}), "unreadable"),
    "two megabytes": (envelope(data={"key": "x", "junk": b"x" * 2_000_000}), "unreadable"),
    "later version": (envelope(v=2), "unsupported version"),
    "version is text": (envelope(v="1"), "unreadable"),
    "id is a number": (envelope(id=7), "unreadable"),
    "job is a list": (envelope(job=["Report"]), "unreadable"),
    "data is a list": (envelope(data=[1]), "unreadable"),
    "queue has a slash": (envelope(queue="a/b"), "unreadable"),
    "attempt is zero": (envelope(attempt=0), "unreadable"),
    "attempt is true": (envelope(attempt=True), "unreadable"),
    "deliveries is text": (envelope(deliveries="2"), "unreadable"),
    "max_tries is negative": (envelope(max_tries=-1), "unreadable"),
    "timeout is text": (envelope(timeout="60"), "unreadable"),
    "backoff is a map": (envelope(backoff={}), "unreadable"),
    "delay is infinite": (envelope(delay=float("inf")), "unreadable"),
    "run_at is text": (envelope(run_at="now"), "unreadable"),
    "expires_at is a list": (envelope(expires_at=[]), "unreadable"),
    "stored is a number": (envelope(stored=1), "unreadable"),
    "headers is text": (envelope(headers="x"), "unreadable"),
    "unknown job": (envelope(job="NoSuchJob"), "unknown job"),
    "unknown field of the job": (envelope(data={"nokey": 1}), "unreadable"),
    "a method as data": (envelope(job="OldStyle", data={"handle": 1}), "unreadable"),
    "a hidden name as data": (envelope(job="OldStyle", data={"_fields": {}}), "unreadable"),
    "expired": (envelope(expires_at=1.0), "expired"),
}


async def test_bad_messages_are_kept_with_their_bytes_and_the_worker_runs_on(
    cluster: Cluster,
) -> None:
    await cluster.scheduler()
    worker = await cluster.worker()
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        for payload, _ in BAD.values():
            await connection.publish("$queue/default", payload)
        records = await cluster.failed_records(bus, len(BAD))
        shown = [await bus.requests.call("failed.show", id=record["id"]) for record in records]
        await bus.dispatch(Report(key="after"))
    await cluster.recorder.count("ran", 1)
    assert cluster.recorder.ran() == {"after": 1}
    assert worker.running
    kept = {(bytes(record["envelope"]), record["reason"]) for record in shown}
    unchanged = {(payload, reason) for payload, reason in BAD.values() if reason == "unreadable"}
    missing = [
        name
        for name, (payload, reason) in BAD.items()
        if (payload, reason) in unchanged
        and (payload, reason) not in kept
        and not _is_envelope(payload)
    ]
    assert not missing
    assert sorted(r["reason"] for r in shown) == sorted(reason for _, reason in BAD.values())


def _is_envelope(payload: bytes) -> bool:
    """The scheduler gives such a message an id; the failed record has the envelope with it."""
    from routeq_mqtt.errors import UnreadableMessage
    from routeq_mqtt.wire.envelopes.envelope import Envelope

    try:
        Envelope.decode(payload)
    except UnreadableMessage:
        return False
    return True


async def test_bad_jobs_fail_at_dispatch_and_name_what_is_wrong(cluster: Cluster) -> None:
    await cluster.scheduler()
    job = OldStyle()
    job.to = object()  # type: ignore[assignment]
    async with cluster.bus() as bus:
        with pytest.raises(PackingError, match=r"data\.to: object objects cannot travel"):
            await bus.dispatch(job)
        with pytest.raises(PayloadTooLarge, match="max_payload=262144"):
            await bus.dispatch(Report(key="x" * 300_000))


@pytest.mark.processes
async def test_failed_records_can_be_run_again_and_forgotten(cluster: Cluster) -> None:
    await cluster.scheduler()
    early = await cluster.worker("default", "--max-tries", "1")
    async with cluster.bus() as bus:
        job_id = await bus.dispatch_named("NoSuchJob", {"key": "x"})
        garbage = await bus.sender.link.ready()
        await garbage.publish("$queue/default", b"garbage")
        await cluster.failed_records(bus, 2)
        code, output = await cluster.cli("failed", "retry", "--all")
        assert code == 1
        assert "1 job runs again" in output
        assert "not retried" in output
        await cluster.failed_records(bus, 2)  # unknown still
        code, output = await cluster.cli("failed", "show", job_id.id)
        assert code == 0
        assert "unknown job" in output
        assert (await cluster.cli("failed", "forget", job_id.id))[0] == 0
        assert (await cluster.cli("failed", "forget", job_id.id))[0] == 1
        assert (await cluster.cli("failed", "flush"))[0] == 0
        assert await bus.requests.call("failed.list") == []
    assert early.running
