"""What older versions wrote is still read, and runs; rich values survive `failed retry`."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from routeq_mqtt import Job, JobHandle
from routeq_mqtt.jobs.codec import from_envelope, pack_job
from routeq_mqtt.testing import MemoryBus
from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from tests.api.typed_jobs import Address, Anything, Colour, Invoice, KeepsTypes, Line, Money, Tree

FIRST = b64decode(
    "haNqb2KnS2VwdEpvYqJpZNkgMDFhMjJlM2NlMzcyNzI2MWJkMzIxYzljZWQ1NTRiYmWkZGF0YYuidG+jYWRhpm51bWJlcgOk"
    "cmVhbMs/+AAAAAAAAKNyYXfEAgD/pXdvcmRzkqFhoWKkd2hlbscZATIwMjYtMDEtMDJUMDM6MDQ6MDUrMDA6MDCjZGF5xwoC"
    "MjAyNi0wMS0wMqRzcGFu1gOTAFoApXByaWNl1gUxLjUwo2tledgEAAAAAAAAAAAAAAAAAAAAB6Rtb3JlgaFhkwHAw6VxdWV1"
    "ZaRrZXB0rWRpc3BhdGNoZWRfYXTLQdpVzWlAAAA="
)
"""A job of the very first version."""

BEFORE_TYPES = b64decode(
    "haNqb2KnS2VwdEpvYqJpZNkgMDFhMjJlM2NkZTQyNzAwMGJhZTRlNzY1MTM2MDE0YzKkZGF0YYuidG+jYWRhpm51bWJlcgOk"
    "cmVhbMs/+AAAAAAAAKNyYXfEAgD/pXdvcmRzkqFhoWKkd2hlbscZATIwMjYtMDEtMDJUMDM6MDQ6MDUrMDA6MDCjZGF5xwoC"
    "MjAyNi0wMS0wMqRzcGFu1gOTAFoApXByaWNl1gUxLjUwo2tledgEAAAAAAAAAAAAAAAAAAAAB6Rtb3JlgaFhkwHAw6VxdWV1"
    "ZaRrZXB0rWRpc3BhdGNoZWRfYXTLQdpVzWlAAAA="
)
"""One of the last version that did not look at annotations."""

RECORD_OF_FIRST = b64decode(
    "iaJpZNkgMDFhMjJlM2NlMzcyNzI2MWJkMzIxYzljZWQ1NTRiYmWlcXVldWWka2VwdKNqb2KnS2VwdEpvYqZyZWFzb26pZXhj"
    "ZXB0aW9upWVycm9ytlZhbHVlRXJyb3I6IG9uIHB1cnBvc2WoYXR0ZW1wdHORg6dhdHRlbXB0AaVlcnJvcrZWYWx1ZUVycm9y"
    "OiBvbiBwdXJwb3NlomF0y0HaVc1pgAAApndvcmtlcqN3LTGpZmFpbGVkX2F0y0HaVc1pgAAAqGVudmVsb3BlxPWFo2pvYqdL"
    "ZXB0Sm9iomlk2SAwMWEyMmUzY2UzNzI3MjYxYmQzMjFjOWNlZDU1NGJiZaRkYXRhi6J0b6NhZGGmbnVtYmVyA6RyZWFsyz/4"
    "AAAAAAAAo3Jhd8QCAP+ld29yZHOSoWGhYqR3aGVuxxkBMjAyNi0wMS0wMlQwMzowNDowNSswMDowMKNkYXnHCgIyMDI2LTAx"
    "LTAypHNwYW7WA5MAWgClcHJpY2XWBTEuNTCja2V52AQAAAAAAAAAAAAAAAAAAAAHpG1vcmWBoWGTAcDDpXF1ZXVlpGtlcHSt"
    "ZGlzcGF0Y2hlZF9hdMtB2lXNaUAAAA=="
)
"""A failed record of the very first version, of the job above."""

RICH = b64decode(
    "haNqb2KqS2VlcHNUeXBlc6JpZNkgMDFhMjJlNDJkNWMxNzAwMDg1OGJmMjk2Mzg4ZDhlMjClcXVldWWnZGVmYXVsdK1kaXNw"
    "YXRjaGVkX2F0y0HaVc1pQAAApGRhdGGDpXZhbHVlgqUkdHlwZadJbnZvaWNlpiR2YWx1ZYambnVtYmVyB6VsaW5lc5CkcGF0"
    "aKIveKZjb2xvdXLHAwaSAQKjZHVlwKNyYXfEAf+lbGluZXORgqVwcmljZdYFMS41MKVmaWxlc5GiL3mkdHJlZYOldmFsdWWj"
    "cmVkpGxlZnSDpXZhbHVlxwMGkgECpGxlZnTApXJpZ2h0wKVyaWdodMA="
)
"""A job of many types, of the version that has brought them."""


class KeptJob(Job, queue="kept"):
    to: str
    number: int = 3
    real: float = 1.5
    raw: bytes = b"\x00\xff"
    words: list[str]
    when: datetime
    day: date
    span: timedelta
    price: Decimal
    key: UUID
    more: dict[str, Any]

    async def handle(self) -> None:
        ran.append(self)


ran: list[Any] = []

VALUES = {
    "to": "ada",
    "number": 3,
    "real": 1.5,
    "raw": b"\x00\xff",
    "words": ["a", "b"],
    "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "day": date(2026, 1, 2),
    "span": timedelta(seconds=90),
    "price": Decimal("1.50"),
    "key": UUID(int=7),
    "more": {"a": [1, None, True]},
}

TYPED = KeepsTypes(
    value=Invoice(number=7, path=Path("/x"), colour=Colour.PAIR, raw=b"\xff"),
    lines=[Line(Decimal("1.50"), [Path("/y")])],
    tree=Tree(Colour.RED, Tree(Colour.PAIR)),
)


@pytest.mark.parametrize("payload", [FIRST, BEFORE_TYPES], ids=["first", "before types"])
def test_a_job_of_an_older_version_is_read(payload: bytes) -> None:
    envelope = Envelope.decode(payload)
    job = from_envelope(envelope)
    assert isinstance(job, KeptJob)
    assert {name: getattr(job, name) for name in VALUES} == VALUES
    assert job.job_id == envelope.id
    assert Envelope.decode(pack_job(job, now=1.0)[2]).data == envelope.data


def test_a_job_of_many_types_is_read() -> None:
    job = from_envelope(Envelope.decode(RICH))
    assert isinstance(job, KeepsTypes)
    assert (job.value, job.lines, job.tree) == (TYPED.value, TYPED.lines, TYPED.tree)


async def test_a_failed_record_of_an_older_version_runs_again() -> None:
    record = FailedRecord.decode(RECORD_OF_FIRST)
    assert record.envelope == FIRST
    ran.clear()
    async with MemoryBus("kept") as bus:
        there = await bus.transport.connect(ConnectOptions("old-worker"), lambda message: None)
        await there.publish("routeq/failed", RECORD_OF_FIRST)
        handle: JobHandle[None] = bus.handle(record.id)
        assert (await handle.wait(20)).state == "failed"
        shown = await bus.failed.show(handle)
        assert shown.error == "ValueError: on purpose"
        await bus.failed.retry(handle)
        assert (await handle.wait(20)).state == "done"
    [job] = ran
    assert {name: getattr(job, name) for name in VALUES} == VALUES


mended: list[bool] = []


class Mended(Job, max_tries=1, result_ttl=60):
    value: Anything
    tree: Tree[Colour]
    by_colour: dict[Colour, list[Money]]

    async def handle(self) -> tuple[Anything, Tree[Colour], dict[Colour, list[Money]]]:
        if not mended:
            raise ValueError("not yet")
        return self.value, self.tree, self.by_colour


@pytest.mark.parametrize(
    "value",
    [TYPED.value, TYPED.lines[0], Address("x", IPv4Address("1.2.3.4")), Colour.PAIR, Path("/a")],
    ids=lambda value: type(value).__name__,
)
async def test_rich_values_survive_a_failed_record_that_is_retried(value: Anything) -> None:
    mended.clear()
    by_colour = {Colour.RED: [Money(3)], Colour.ONE: []}
    async with MemoryBus("default") as bus:
        sent = Mended(value=value, tree=Tree(Colour.PAIR), by_colour=by_colour)
        handle = await bus.dispatch(sent)
        assert (await handle.wait(20)).state == "failed"
        mended.append(True)
        await bus.failed.retry(handle)
        assert (await handle.wait(20)).state == "done"
        back = await handle.result(20)
    assert back == (value, sent.tree, by_colour)
    assert type(back[0]) is type(value)
