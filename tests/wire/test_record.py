"""The failed record, ids and names."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.names import check_queue_name

RECORD = FailedRecord(
    id="1",
    queue="default",
    job=None,
    reason="unreadable",
    error="no msgpack",
    attempts=[{"attempt": 1, "traceback": "…"}],
    worker="w",
    failed_at=1.5,
    envelope=b"\xff\x00",
)


def changed(**changes: Any) -> bytes:
    packed: bytes = msgpack.packb(msgpack.unpackb(RECORD.encode()) | changes)
    return packed


def test_a_record_survives_with_the_messages_bytes() -> None:
    assert FailedRecord.decode(RECORD.encode()) == RECORD
    assert FailedRecord.decode(changed(later="x")) == RECORD


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_unreadable(payload: bytes) -> None:
    try:
        FailedRecord.decode(payload)
    except UnreadableMessage:
        return


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None), ("queue", "a/b"), ("job", 7), ("reason", ""), ("error", 7),
        ("attempts", {}), ("attempts", [{"a": []}]), ("worker", 7), ("failed_at", "now"),
        ("envelope", "text"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_the_fields_name(field: str, value: Any) -> None:
    with pytest.raises(UnreadableMessage, match=field):
        FailedRecord.decode(changed(**{field: value}))


def test_texts_that_cannot_be_encoded_are_mended_not_lost() -> None:
    record = FailedRecord(
        **{
            **{name: getattr(RECORD, name) for name in RECORD.__slots__},
            "error": "file \udcff is missing" + "x" * 10_000,
            "attempts": [{"message": "\udcff", "traceback": "t" * 9_999}],
        }
    )
    back = FailedRecord.decode(record.encode())
    assert back.error.startswith("file ? is missing")
    assert len(back.error) == 4_000
    assert back.attempts == [{"message": "?", "traceback": "t" * 4_000}]


def test_ids_are_unique_and_in_order_also_when_the_clock_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [new_id() for _ in range(10_000)]
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    made += [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert all(UUID(one).version == 7 and UUID(one).variant.startswith("spec") for one in made)


def test_threads_never_share_an_id() -> None:
    made: list[str] = []

    def make() -> None:
        made.extend(new_id() for _ in range(5_000))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000


@pytest.mark.parametrize("name", ["default", "high-1", "a.b_c", "größe", "x" * 120])
def test_what_may_be_a_queues_name(name: str) -> None:
    assert check_queue_name(name, "here") == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "must be a non-empty string"),
        (7, "must be a non-empty string"),
        ("a/b", "must not contain '/'"),
        ("a+", r"must not contain '\+'"),
        ("#", "must not contain '#'"),
        ("$sys", r"must not contain '\$'"),
        ("a b", "must not contain ' '"),
        ("a\x00", "must not contain"),
        ("\ud800", "must not contain"),
        ("x" * 121, "longer than 120"),
    ],
)
def test_what_may_not_and_why(name: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^Here: queue=.*{why}"):
        check_queue_name(name, "Here: queue")
