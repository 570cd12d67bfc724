"""Messages of devices become jobs, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from routeq_mqtt import ConfigurationError, Job, UnreadableMessage, trigger
from routeq_mqtt.job.trigger import from_flag
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.reading import reading
from routeq_mqtt.wire.trigger import Trigger
from tests.bed.bed import Bed
from tests.bed.process import Process

APP = ("--app", "tests.edge.programs.trigger_jobs")


async def worker(bed: Bed, *flags: str, triggers: int = 1) -> Process:
    process = await bed.worker("default", *APP, *flags)
    await process.says("declared", times=triggers)
    return process


async def publish(bed: Bed, *messages: tuple[str, bytes], **options: Any) -> None:
    async with bed.bus() as bus:
        connection = await bus.sender.link.ready()
        await asyncio.gather(*(connection.publish(t, p, **options) for t, p in messages))


async def test_topic_and_payload_become_fields(bed: Bed) -> None:
    await bed.scheduler()
    await worker(bed)
    await publish(
        bed,
        ("devices/a/telemetry", b'{"celsius": 21}'),
        ("devices/b/telemetry", pack({"celsius": 0.5, "device_id": "liar", "topic": "lie"})),
        ("devices/c/telemetry", b"17.25"),
        ("devices/d/telemetry", b"open"),
        ("devices/e/telemetry", b"\xff\x00"),
        ("devices/f/telemetry", b""),
        ("devices/none/status", b"unheard"),
    )
    await bed.recorder.count("ran", 6)
    assert bed.recorder.ran() == dict.fromkeys(
        ["a 21.0 None", "b 0.5 None", "c None 17.25", "d None 'open'", r"e None b'\xff\x00'",
         "f None ''"],
        1,
    )  # fmt: skip
    topics = {event["topic"] for event in bed.recorder.named("ran")}
    assert topics == {f"devices/{name}/telemetry" for name in "abcdef"}


async def test_a_flag_declares_one_and_a_message_may_match_several(bed: Bed) -> None:
    await bed.scheduler()
    await worker(bed, "--trigger", "devices/+/telemetry=alarm", triggers=2)
    await publish(bed, ("devices/a/telemetry", b"5"))
    await bed.recorder.count("alarm", 1)
    await bed.recorder.count("ran", 1)
    await publish(bed, ("devices/a/telemetry", b"6"))
    await bed.recorder.count("alarm", 2)
    await bed.recorder.count("ran", 2)
    assert bed.recorder.ran("alarm") == {"5": 1, "6": 1}
    code, output = await bed.cli("triggers", "list", "--json")
    assert (code, [(one["pattern"], one["job"]) for one in json.loads(output)]) == (
        0,
        [("devices/{device_id}/telemetry", "Telemetry"), ("devices/+/telemetry", "alarm")],
    )


async def test_nothing_is_lost_when_worker_and_scheduler_are_killed(bed: Bed) -> None:
    scheduler = await bed.scheduler()
    first = await worker(bed)
    await publish(bed, *((f"devices/{n}/telemetry", b"1") for n in range(100)))
    await first.kill()
    await publish(bed, *((f"devices/{n}/telemetry", b"1") for n in range(100, 200)))
    await scheduler.kill()
    await publish(bed, *((f"devices/{n}/telemetry", b"1") for n in range(200, 300)))
    await bed.scheduler()
    await bed.worker("default", *APP)
    await bed.recorder.wait(lambda: len(bed.recorder.ran()) == 300, "all ran")
    assert set(bed.recorder.ran()) == {f"{n} None 1" for n in range(300)}


async def test_what_cannot_be_a_job_is_kept_with_its_bytes(bed: Bed) -> None:
    await bed.scheduler()
    await worker(bed)
    await publish(
        bed,
        ("devices/a/telemetry", b'{"celsius": 21'),
        ("devices/b/telemetry", b'{"fahrenheit": 70}'),
    )
    async with bed.bus() as bus:
        records = await bed.failed_records(bus, 2)
    errors = sorted(record["error"] for record in records)
    assert "no JSON" in errors[1]
    assert "no field 'fahrenheit'" in errors[0]


async def test_a_retained_message_is_old_and_becomes_no_job(bed: Bed) -> None:
    await bed.scheduler()
    await publish(bed, ("devices/old/telemetry", b"1"), retain=True)
    await worker(bed)
    await publish(bed, ("devices/new/telemetry", b"2"), retain=True)  # heard live: an event
    await bed.recorder.count("ran", 1)
    await publish(bed, ("devices/last/telemetry", b"3"))
    await bed.recorder.count("ran", 2)
    assert set(bed.recorder.ran()) == {"new None 2", "last None 3"}


async def test_a_forgotten_trigger_makes_no_jobs(bed: Bed) -> None:
    await bed.scheduler()
    await worker(bed)
    code, output = await bed.cli("triggers", "forget", "devices/{device_id}/telemetry")
    assert (code, "1 triggers forgotten" in output) == (0, True)
    await publish(bed, ("devices/a/telemetry", b"1"))
    await worker(bed)
    await publish(bed, ("devices/b/telemetry", b"2"))
    await bed.recorder.count("ran", 1)
    assert set(bed.recorder.ran()) == {"b None 2"}


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b' {"a": [1]} ', {"a": [1]}),
        (pack({"a": b"x"}), {"a": b"x"}),
        (b"21.5", 21.5),
        (b"-3\n", -3),
        (b"ON", "ON"),
        (b"[1, 2]", "[1, 2]"),
        (b"NaN", "NaN"),
        (b"true", "true"),
        (b"1e999", "1e999"),
        (b"9" * 5000, "9" * 5000),
        ("\u00df".encode(), "\u00df"),
        ("\u07c0".encode(), "\u07c0"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"", ""),
    ],
)
def test_a_payload_is_read_as_what_it_is(payload: bytes, value: object) -> None:
    assert reading(payload) == value


@pytest.mark.parametrize(
    "payload",
    [b"{", b'{"a": NaN}', b'{"a": "\\ud800"}', b"\x81\xa1", pack({1: 2}), b'{"a":' * 2000],
)
def test_a_broken_map_is_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        reading(payload)


@pytest.mark.parametrize(
    ("pattern", "topic", "fields"),
    [
        ("a/{x}/b", "a/1/b", {"x": "1"}),
        ("a/{x}/b", "a/1/c", None),
        ("a/{x}/b", "a/1/b/c", None),
        ("a/+/{y}", "a/1/2", {"y": "2"}),
        ("a/{x}/#", "a/1", {"x": "1"}),
        ("a/{x}/#", "a/1/2/3", {"x": "1"}),
        ("a/{x}/#", "a", None),
        ("a/{x}", "a/", {"x": ""}),
    ],
)
def test_a_pattern_matches_as_mqtt_does(
    pattern: str, topic: str, fields: dict[str, str] | None
) -> None:
    assert Trigger(pattern=pattern, job="j", queue="q").match(topic) == fields


@pytest.mark.parametrize(
    "pattern",
    ["", "#", "+/a", "{x}/a", "$SYS/a", "a/#/b", "a/b+", "a/x{y}", "a/{}", "a/{x}/{x}",
     "routeq/failed", "queue/default", "queue/#", "a/{1x}", "a\0b"],
)  # fmt: skip
def test_a_wrong_pattern_names_itself(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="@trigger of "):

        @trigger(pattern)
        class Wrong(Job):
            abstract = True
            x: str


def test_a_trigger_names_fields_and_jobs_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="no field 'device'; add it"):

        @trigger("a/{device}")
        class Lacking(Job):
            abstract = True
            other: str

    with pytest.raises(ConfigurationError, match="PATTERN=JOB"):
        from_flag("a/b")
    with pytest.raises(ConfigurationError, match="no job class is registered as 'none'"):
        from_flag("a/b=none")
