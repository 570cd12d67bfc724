"""The audit log knows who asked where the request is signed; a name alone is a claim."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus
from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.security.requests import WINDOW, sign_request, signing_key_of
from routeq_mqtt.security.signing import Signer
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.messages.requests import QueuePause
from routeq_mqtt.wire.observe.asks import AuditList
from routeq_mqtt.wire.packing import pack
from tests.observe.rig import Rig, rig

NOW = 1_700_000_000.0
ARGS = {"queue": "reports", "rate": [10, 1.5]}
OURS, OTHERS = Settings(signing_keys="k2:new,k1:old"), Settings(signing_keys="k2:guessed")


def signer(settings: Settings) -> Signer:
    found = settings.guard().signer
    assert found is not None
    return found


def signed(**changes: Any) -> dict[str, Any]:
    """What stands beside the arguments, signed now by anna."""
    more = {"by": "anna", "signed": sign_request(signer(OURS), "queue.pause", ARGS, "anna", NOW)}
    return more | changes


def test_a_signed_request_names_its_key() -> None:
    assert signing_key_of(signer(OURS), "queue.pause", ARGS, signed(), NOW + WINDOW) == "k2"


@pytest.mark.parametrize(
    ("method", "args", "more", "now", "why"),
    [
        ("queue.purge", ARGS, signed(), NOW, "`method` differs"),
        ("queue.pause", ARGS | {"queue": "mail"}, signed(), NOW, "`args` differs"),
        ("queue.pause", ARGS, signed(by="bert"), NOW, "`by` differs"),
        ("queue.pause", ARGS, signed(), NOW + WINDOW + 1, "`at`"),
        ("queue.pause", ARGS, signed(), NOW - WINDOW - 1, "`at`"),
        ("queue.pause", ARGS, signed(), math.nan, "`at`"),
        ("queue.pause", ARGS, signed(signed=None), NOW, "there is none"),
        ("queue.pause", ARGS, signed(signed=5), NOW, "must be a map"),
        ("queue.pause", ARGS, signed(signed={"key": "k3", "body": b"", "mac": b""}), NOW, "k3"),
        ("queue.pause", ARGS, signed(signed={"key": "k1", "body": b"", "mac": b""}), NOW, "fit"),
    ],
)
def test_a_signature_is_of_one_request(
    method: str, args: object, more: dict[str, Any], now: float, why: str
) -> None:
    with pytest.raises(RefusedJob, match=why):
        signing_key_of(signer(OURS), method, args, more, now)


def test_the_signature_of_a_job_is_none_of_a_request() -> None:
    body = pack({"method": "queue.pause", "by": "anna", "at": NOW, "args": ARGS})
    of_a_job = signer(OURS).sign_bytes(body, b"routeq-signed-1\n")
    with pytest.raises(RefusedJob, match="fit"):
        signing_key_of(signer(OURS), "queue.pause", ARGS, signed(signed=of_a_job), NOW)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as (one, _):
        assert one.scheduler is not None
        await one.stop(one.scheduler)
        await one.start_scheduler(guard=OURS.guard())
        yield one


async def test_the_audit_log_says_how_each_name_is_known(
    bed: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    for name, settings in (("anna", OURS), ("bert", Settings()), ("carl", OTHERS)):
        async with Bus(settings=settings, transport=bed.transport) as bus:
            with caplog.at_level(logging.WARNING, "routeq_mqtt.scheduler.control.asker"):
                await bus.requests.ask(QueuePause(queue=name), by=name)
            lines = (await bus.requests.ask(AuditList())).rows
    assert [(line.by, line.how) for line in lines] == [
        ("carl", "claimed"), ("bert", "claimed"), ("anna", "signed k2")
    ]  # fmt: skip
    [warning] = caplog.messages  # not of bert, who has no keys: that is usual
    assert "by='carl' is not who it claims to be: signature: it does not fit" in warning


async def test_nobody_signs_by_saying_so(bed: Rig) -> None:
    stranger = await bed.transport.connect(ConnectOptions("stranger"), lambda message: None)
    said = {"args": {"queue": "a"}, "by": "anna", "how": "signed k2", "signed": {"key": "k2"}}
    await stranger.publish("routeq/rpc/queue.pause", pack(said))
    async with Bus(settings=OURS, transport=bed.transport) as bus:
        while not (lines := (await bus.requests.ask(AuditList())).rows):
            pass
    assert [(line.by, line.how) for line in lines] == [("anna", "claimed")]
    await stranger.close()
