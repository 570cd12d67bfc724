"""Messages of devices become jobs, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from routeq_mqtt import ConfigurationError, Job, UnreadableMessage, trigger
from routeq_mqtt.jobs.trigger import from_flag, make_trigger
from routeq_mqtt.wire.messages.device_payload import reading
from routeq_mqtt.wire.messages.trigger import Trigger
from routeq_mqtt.wire.packing import pack
from tests.cluster.cluster import Cluster
from tests.cluster.process import Process

APP = ("--app", "tests.edge.programs.trigger_jobs")


async def worker(cluster: Cluster, *flags: str, triggers: int = 1) -> Process:
    process = await cluster.worker("default", *APP, *flags)
    await process.says("declared", times=triggers)
    return process


async def publish(cluster: Cluster, *messages: tuple[str, bytes], **options: Any) -> None:
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        await asyncio.gather(*(connection.publish(t, p, **options) for t, p in messages))


async def test_topic_and_payload_become_fields(cluster: Cluster) -> None:
    await cluster.scheduler()
    await worker(cluster)
    await publish(
        cluster,
        ("devices/a/telemetry", b'{"celsius": 21}'),
        ("devices/b/telemetry", pack({"celsius": 0.5, "device_id": "liar", "topic": "lie"})),
        ("devices/c/telemetry", b"17.25"),
        ("devices/d/telemetry", b"open"),
        ("devices/e/telemetry", b"\xff\x00"),
        ("devices/f/telemetry", b""),
        ("devices/none/status", b"unheard"),
    )
    await cluster.recorder.count("ran", 6)
    assert cluster.recorder.ran() == dict.fromkeys(
        ["a 21.0 None", "b 0.5 None", "c None 17.25", "d None 'open'", r"e None b'\xff\x00'",
         "f None ''"],
        1,
    )  # fmt: skip
    topics = {event["topic"] for event in cluster.recorder.named("ran")}
    assert topics == {f"devices/{name}/telemetry" for name in "abcdef"}


async def test_a_flag_declares_one_and_a_message_may_match_several(cluster: Cluster) -> None:
    await cluster.scheduler()
    await worker(cluster, "--trigger", "devices/+/telemetry=alarm", triggers=2)
    await publish(cluster, ("devices/a/telemetry", b"5"))
    await cluster.recorder.count("alarm", 1)
    await cluster.recorder.count("ran", 1)
    await publish(cluster, ("devices/a/telemetry", b"6"))
    await cluster.recorder.count("alarm", 2)
    await cluster.recorder.count("ran", 2)
    assert cluster.recorder.ran("alarm") == {"5": 1, "6": 1}
    code, output = await cluster.cli("triggers", "list", "--json")
    assert (code, [(one["pattern"], one["job"]) for one in json.loads(output)]) == (
        0,
        [("devices/{device_id}/telemetry", "Telemetry"), ("devices/+/telemetry", "alarm")],
    )


async def test_overlapping_triggers_run_each_job_once(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    await worker(cluster, "--trigger", "devices/#=alarm", triggers=2)
    for number in range(3):
        await publish(cluster, ("devices/a/telemetry", str(number).encode()))
        await publish(cluster, (f"devices/end/{number}", b"7"))  # matches the wide one alone
        await cluster.recorder.count("alarm", 2 * number + 2)
        await cluster.recorder.count("ran", number + 1)
        if number == 1:
            await scheduler.stop()
            await cluster.scheduler()
    assert cluster.recorder.ran("alarm") == {"0": 1, "1": 1, "2": 1, "7": 3}
    assert cluster.recorder.ran() == {f"a None {number}": 1 for number in range(3)}
    code, output = await cluster.cli("triggers", "forget", "devices/#")
    assert code == 0, output
    await publish(cluster, ("devices/a/telemetry", b"9"))
    await cluster.recorder.count("ran", 4)
    assert sum(cluster.recorder.ran("alarm").values()) == 6


async def test_nothing_is_lost_when_worker_and_scheduler_are_killed(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    first = await worker(cluster)
    await publish(cluster, *((f"devices/{n}/telemetry", b"1") for n in range(100)))
    await first.kill()
    await publish(cluster, *((f"devices/{n}/telemetry", b"1") for n in range(100, 200)))
    await scheduler.kill()
    await publish(cluster, *((f"devices/{n}/telemetry", b"1") for n in range(200, 300)))
    await cluster.scheduler()
    await cluster.worker("default", *APP)
    await cluster.recorder.wait(lambda: len(cluster.recorder.ran()) == 300, "all ran")
    assert set(cluster.recorder.ran()) == {f"{n} None 1" for n in range(300)}


async def test_what_cannot_be_a_job_is_kept_with_its_bytes(cluster: Cluster) -> None:
    await cluster.scheduler()
    await worker(cluster)
    await publish(
        cluster,
        ("devices/a/telemetry", b'{"celsius": 21'),
        ("devices/b/telemetry", b'{"fahrenheit": 70}'),
    )
    async with cluster.bus() as bus:
        records = await cluster.failed_records(bus, 2)
    errors = sorted(record["error"] for record in records)
    assert "no JSON" in errors[1]
    assert "no field 'fahrenheit'" in errors[0]


async def test_a_retained_message_is_old_and_becomes_no_job(cluster: Cluster) -> None:
    await cluster.scheduler()
    await publish(cluster, ("devices/old/telemetry", b"1"), retain=True)
    await worker(cluster)
    await publish(cluster, ("devices/new/telemetry", b"2"), retain=True)  # heard live: an event
    await cluster.recorder.count("ran", 1)
    await publish(cluster, ("devices/last/telemetry", b"3"))
    await cluster.recorder.count("ran", 2)
    assert set(cluster.recorder.ran()) == {"new None 2", "last None 3"}


async def test_a_forgotten_trigger_makes_no_jobs(cluster: Cluster) -> None:
    await cluster.scheduler()
    await worker(cluster)
    code, output = await cluster.cli("triggers", "forget", "devices/{device_id}/telemetry")
    assert (code, "1 triggers forgotten" in output) == (0, True)
    await publish(cluster, ("devices/a/telemetry", b"1"))
    await worker(cluster)
    await publish(cluster, ("devices/b/telemetry", b"2"))
    await cluster.recorder.count("ran", 1)
    assert set(cluster.recorder.ran()) == {"b None 2"}


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


class Raw(Job):
    device: str
    payload: bytes

    async def handle(self) -> None: ...


class Text(Job):
    payload: str | None = None

    async def handle(self) -> None: ...


class Mixed(Job):
    celsius: float = 0.0
    payload: bytes = b""

    async def handle(self) -> None: ...


@pytest.mark.parametrize(
    ("job", "sent", "fields"),
    [
        (Raw, b"open", {"payload": b"open"}),
        (Raw, b"hello world", {"payload": b"hello world"}),
        (Raw, b"21.5", {"payload": b"21.5"}),
        (Raw, b'{"payload": 1}', {"payload": b'{"payload": 1}'}),
        (Raw, b"\x80\xff", {"payload": b"\x80\xff"}),
        (Raw, b"", {"payload": b""}),
        (Text, b"21.5", {"payload": "21.5"}),
        (Text, b"007", {"payload": "007"}),
        (Text, b'{"a": 1}', {"payload": '{"a": 1}'}),
        (Text, "\u00e9".encode(), {"payload": "\u00e9"}),
        (Mixed, b'{"celsius": 1}', {"celsius": 1}),
        (Mixed, b'{"celsius": ', {"payload": b'{"celsius": '}),
        (Mixed, b"5", {"payload": b"5"}),
    ],
)
def test_the_type_of_the_field_payload_decides(
    job: type[Job], sent: bytes, fields: dict[str, Any]
) -> None:
    pattern = "d/{device}" if job is Raw else "d/+"
    one = make_trigger(pattern, job, "test")
    own = {"device": "a"} if job is Raw else {}
    assert one.data("d/a", sent) == fields | own


def test_bytes_that_are_no_text_are_no_text() -> None:
    with pytest.raises(UnreadableMessage, match="no UTF-8"):
        make_trigger("d/+", Text, "test").data("d/a", b"\xff\xfe")


async def test_bytes_and_texts_arrive_as_they_were_sent(cluster: Cluster) -> None:
    await cluster.scheduler()
    flags = ("--trigger", "raw/+=raw_bytes", "--trigger", "text/+=plain_text")
    await worker(cluster, *flags, triggers=3)
    await publish(
        cluster, ("raw/a", b"open"), ("raw/a", b"hello world"), ("text/a", b"17"), ("text/a", b"{}")
    )
    await cluster.recorder.count("ran", 4)
    assert cluster.recorder.ran() == dict.fromkeys(
        ["b'open'", "b'hello world'", "'17'", "'{}'"], 1
    )  # fmt: skip
