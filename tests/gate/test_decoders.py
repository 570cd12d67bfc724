"""Every decoder: what it makes of a good message, and that it only ever refuses a bad one."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.presence.fleet import Fleet
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.maps import read_map
from routeq_mqtt.wire.messages.asking import read_request
from routeq_mqtt.wire.messages.given_back import decode_given_back
from routeq_mqtt.wire.messages.outcomes import decode_outcomes, encode_outcomes
from routeq_mqtt.wire.messages.status import WorkerLoad, WorkerStatus, encode
from routeq_mqtt.wire.observe import catalogue
from routeq_mqtt.wire.packing import pack
from routeq_mqtt.wire.table import KINDS, Kind
from tests.gate.mutate import mutations
from tests.gate.samples import METHODS, SAMPLES

_EACH = 500


def _name(one: Kind) -> str:
    return one.name


@pytest.mark.parametrize("one", KINDS, ids=_name)
def test_a_decoder_reads_what_is_sent(one: Kind) -> None:
    for payload in SAMPLES[one.name].payloads():
        one.decode(payload)


@pytest.mark.parametrize("one", KINDS, ids=_name)
def test_a_decoder_returns_a_value_or_says_that_it_cannot_read(one: Kind) -> None:
    samples = SAMPLES[one.name]
    refused = []
    for payload in islice(mutations(samples.values, samples.form, seed=1), _EACH):
        try:
            one.decode(payload)
        except UnreadableMessage as error:
            refused.append(str(error))
    assert refused or one.anything
    assert all(len(error) < 1_000 and error.encode() for error in refused)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": float("nan")},
        {"name": 2**70},
        {"name": "\ud800"},
        {"tags": 5},
        {"queues": 5},
        {"queues": ["a/#"]},
        {"at": "x"},
        {"at": 1e999},
        {"id": "routeq-scheduler", "queues": ["q"], "sessions": ["routeq-scheduler"]},
        {"sessions": ["x/a", "x/b"], "queues": ["a"]},
    ],
    ids=lambda changes: ",".join(changes) + "=" + repr(list(changes.values())[-1])[:20],
)
def test_a_worker_is_not_known_by_a_status_that_nobody_can_read(changes: dict[str, Any]) -> None:
    fleet = Fleet(Topics())
    said = {"id": "x", "state": "online", "queues": ["a"], "sessions": ["x/a"]} | changes
    fleet.fold("routeq/workers/x", json.dumps(said).encode(), now=1.0)
    assert not fleet.members


def test_null_is_the_same_as_a_field_that_is_not_there() -> None:
    said = {"id": "x", "state": "online", "name": "n", "tags": None}
    assert WorkerStatus.decode(json.dumps(said).encode()).tags == {}


def test_what_is_unreadable_changes_nothing_that_is_known() -> None:
    fleet = Fleet(Topics())
    status = WorkerStatus(id="w", state="online", queues=["q"], sessions=["w/q"])
    fleet.fold("routeq/workers/w", encode(status), now=1.0)
    fleet.fold("routeq/running/w", encode(WorkerLoad(running={"job": 1})), now=1.0)
    fleet.fold("routeq/workers/w", b'{"id": "w", "state": "gone"}', now=2.0)
    fleet.fold("routeq/workers/w", b'{"id": "other", "state": "online"}', now=2.0)
    fleet.fold("routeq/running/w", b'{"running": [1]}', now=2.0)
    member = fleet.members["w"]
    assert (member.status, member.load.running, member.heard_at) == (status, {"job": 1}, 1.0)


def test_an_outcome_beyond_what_a_row_can_hold_is_refused() -> None:
    good = [("a", 1, "0123"), ("b", 2, None)]
    told = [("a", 1, "done", "0123"), ("b", 2, "done", None)]
    assert decode_outcomes(encode_outcomes(good)) == told
    for wrong in (2**64 - 1, 2**53, 0, -1, True, 1.0, "1", None):
        with pytest.raises(UnreadableMessage, match="attempt="):
            decode_outcomes(pack([["a", wrong]]))


def test_a_number_is_not_taken_for_so_many_bytes() -> None:
    with pytest.raises(UnreadableMessage, match="envelope=1000000000000 must be bytes"):
        decode_given_back(pack([["default", 10**12]]))


def test_a_request_is_read_in_json_and_in_msgpack_and_answered_alike() -> None:
    said = {"reply": "my/answers", "id": "7", "args": {"id": "x"}}
    packed, written = read_request(pack(said)), read_request(json.dumps(said).encode())
    assert packed.args == written.args == {"id": "x"}
    assert json.loads(written.reply.encode(result={"value": b"\x00\xff"})) == {
        "id": "7",
        "result": {"value": "AP8="},
    }
    assert packed.reply.encode(error="no") == pack({"id": "7", "error": "no"})
    for topic in ("a/+", "#", "$SYS/x", "a\0b", 7, "x" * 2_000):
        with pytest.raises(UnreadableMessage, match="reply="):
            read_request(pack(said | {"reply": topic}))


@pytest.mark.parametrize("method", catalogue.REQUESTS)
def test_a_request_is_read_as_it_was_encoded_or_refused(method: str) -> None:
    samples = METHODS[method]
    for payload in samples.payloads():
        asked = catalogue.read(method, read_request(payload).args)
        again = read_request(asked.encode())
        assert catalogue.read(method, again.args) == asked
    for payload in islice(mutations(samples.values, samples.form, seed=2), _EACH):
        try:
            catalogue.read(method, read_request(payload).args)
        except UnreadableMessage as error:
            assert str(error).encode()  # noqa: PT017


@pytest.mark.parametrize("method", catalogue.REQUESTS)
def test_a_reply_that_nobody_can_read_is_refused(method: str) -> None:
    """A scheduler of another version, or somebody in its place: no traceback for who has asked."""
    asked = catalogue.read(method, read_request(METHODS[method].payloads()[0]).args)
    replies = [{"id": "x", "state": "done", "total": 5}, [{"name": "x", "at": 1.0}], "x", {"a": {}}]
    for payload in islice(mutations([{"result": one} for one in replies], "msgpack", 3), _EACH):
        try:
            result = read_map(payload, "a reply").get("result")
            asked.read_reply(result)
        except UnreadableMessage as error:
            assert str(error).encode()  # noqa: PT017
