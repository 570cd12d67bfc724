"""What operators ask the scheduler: pages, single jobs, failures by kind, actions on many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import Bus, RequestFailed
from routeq_mqtt.transport.base import ConnectOptions, Message
from routeq_mqtt.wire.messages.requests import FailedList, QueuePause, Sizes
from routeq_mqtt.wire.observe import asks
from routeq_mqtt.wire.observe.asks import FailedCounted
from tests.observe.rig import Obstructed, Rig, Tallied, counted, gates, rig, until


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as made:
        yield made


async def failed(one: Rig, bus: Bus, *keys: str, queue: str = "default") -> None:
    """Let jobs fail for good."""
    worker = await one.start_worker(queue)
    for key in keys:
        await bus.dispatch(Tallied(key=key, outcome="fails"), queue=queue)
    await until(lambda: sum(how == "raised" for _, how in counted) >= 2 * len(keys))
    while (await bus.requests.ask(FailedCounted(queue=queue))).count < len(keys):
        await asyncio.sleep(0)
    await one.stop(worker)


async def test_pages_follow_one_another_without_a_gap(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    for number in range(7):
        await bus.dispatch(Tallied(key=str(number)), delay=3600 + number, confirm="stored")
    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while True:
        page = await bus.requests.ask(
            asks.JobsList(state="delayed", limit=3, cursor=cursor, with_data=True)
        )
        seen += [row.data["key"] for row in page.rows if row.data]
        pages += 1
        assert page.scanned == len(page.rows)
        if page.next is None:
            break
        cursor = page.next
    assert seen == [str(number) for number in range(7)]
    assert pages == 3


async def test_filters_look_at_data_and_text(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    for key in ("Alpha", "beta", "gamma"):
        await bus.dispatch(Tallied(key=key), delay=3600, confirm="stored")
    by_field = await bus.requests.ask(
        asks.JobsList(state="delayed", where={"data.key": "beta"}, with_data=True)
    )
    assert [row.data for row in by_field.rows] == [{"key": "beta", "outcome": "done"}]
    by_text = await bus.requests.ask(asks.JobsList(state="delayed", text="ALPHA"))
    assert [row.data for row in by_text.rows] == [None]  # not asked for
    assert by_text.scanned == 3
    nothing = await bus.requests.ask(asks.JobsList(state="delayed", job="Other"))
    assert (nothing.rows, nothing.next, nothing.scanned) == ([], None, 3)


async def test_a_scan_ends_at_its_limit_and_says_where_to_go_on(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    for number in range(5):
        await bus.dispatch(Tallied(key=str(number)), delay=3600 + number, confirm="stored")
    wanted = asks.JobsList(state="delayed", text='"4"', scan=2)
    found = await bus.requests.ask(wanted)
    assert (found.rows, found.scanned) == ([], 2)
    pages = 1
    while not found.rows:
        assert found.next
        found = await bus.requests.ask(
            asks.JobsList(state="delayed", text='"4"', scan=2, cursor=found.next)
        )
        pages += 1
    assert pages == 3


@pytest.mark.parametrize("cursor", ["x", "!!!", "WzEsMiwzXQ", "WyJhIiwiYiJd", "bnVsbA"])
async def test_a_cursor_of_another_list_is_refused(bed: tuple[Rig, Bus], cursor: str) -> None:
    _, bus = bed
    with pytest.raises(RequestFailed, match=r"cursor=.* must be the `next` of"):
        await bus.requests.ask(asks.JobsList(state="delayed", cursor=cursor))


async def test_a_job_shows_all_of_its_attempts(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await failed(one, bus, "a")
    page = await bus.requests.ask(asks.JobsList(state="failed"))
    shown = await bus.requests.ask(asks.JobsShow(id=page.rows[0].id))
    assert shown.state == "failed"
    assert shown.data == {"key": "a", "outcome": "fails"}
    assert [attempt["attempt"] for attempt in shown.history] == [1, 2]
    assert {attempt["type"] for attempt in shown.history} == {"ValueError"}
    assert all(attempt["seconds"] >= 0.0 and attempt["worker"] for attempt in shown.history)
    assert "no <b>a</b>" in shown.history[-1]["traceback"]


async def test_an_error_with_nul_hides_neither_itself_nor_others(bed: tuple[Rig, Bus]) -> None:
    """One job that says what it likes must not keep everybody from the list."""
    one, bus = bed
    await one.start_worker()
    bad = await bus.dispatch(Tallied(key="a\0\x1b\u202e", outcome="fails"), confirm="stored")
    good = await bus.dispatch(Tallied(key="good", outcome="fails"), confirm="stored")
    for job in (bad, good):
        assert (await job.wait(timeout=30)).state == "failed"
    page = await bus.requests.ask(asks.JobsList(state="failed", with_data=True))
    errors = {row.id: row.error for row in page.rows}
    assert errors == {
        bad.id: "ValueError: no <b>a\0\x1b\u202e</b>", good.id: "ValueError: no <b>good</b>"
    }  # fmt: skip
    assert (await bus.requests.ask(asks.JobsShow(id=bad.id))).error == errors[bad.id]
    assert {one.id for one in await bus.failed.list()} == {bad.id, good.id}
    assert (await bad.status()).error == errors[bad.id]


async def test_a_running_job_says_where_it_runs(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    gates["g"] = asyncio.Event()
    await one.start_worker(name="w")
    handle = await bus.dispatch(Obstructed(key="g"), confirm="stored")
    while True:
        shown = await bus.requests.ask(asks.JobsShow(id=handle.id))
        if shown.state == "running":
            break
    assert shown.worker == shown.history[-1]["worker"]
    assert str(shown.worker).startswith("w-")
    assert shown.data == {"key": "g"}


async def test_an_unknown_job_is_an_error_that_says_why(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    with pytest.raises(RequestFailed, match="knows no job 'none'"):
        await bus.requests.ask(asks.JobsShow(id="none"))


async def test_a_delayed_job_can_be_run_now(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker()
    handle = await bus.dispatch(Tallied(key="now"), delay=3600, confirm="stored")
    changed = await bus.requests.ask(asks.JobsRun(ids=[handle.id, "none"]))
    assert changed.changed == [handle.id]
    assert [(one.id, one.error) for one in changed.skipped] == [
        ("none", "it is unknown, not delayed")
    ]
    await until(lambda: ("now", "done") in counted)


async def test_a_job_moves_to_another_queue_and_runs_there(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    handle = await bus.dispatch(Tallied(key="moved"), queue="slow", confirm="stored")
    changed = await bus.requests.ask(asks.JobsMove(ids=[handle.id], queue="fast"))
    assert changed.changed == [handle.id]
    counts = await bus.requests.ask(Sizes())
    assert counts["fast"].parked == 1
    assert "slow" not in counts or not counts["slow"].parked
    await one.start_worker("fast")
    await until(lambda: ("moved", "done") in counted)


async def test_failures_are_grouped_by_job_reason_and_exception(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await failed(one, bus, "a", "b")
    await failed(one, bus, "c", queue="other")
    groups = await bus.requests.ask(asks.FailedGroups())
    assert [(g.queue, g.job, g.reason, g.exception, g.count) for g in groups] == [
        ("default", "Tallied", "exception", "ValueError", 2),
        ("other", "Tallied", "exception", "ValueError", 1),
    ]
    count = await bus.requests.ask(FailedCounted(exception="ValueError", text="<B>a</b>"))
    assert (count.count, count.exact) == (1, True)


@pytest.mark.parametrize("rate", [None, 10_000.0])
async def test_all_that_match_are_deleted_and_no_other(
    bed: tuple[Rig, Bus], rate: float | None
) -> None:
    one, bus = bed
    await failed(one, bus, "a", "b")
    await failed(one, bus, "c", queue="other")
    begun = await bus.requests.ask(
        asks.FailedBulk(action="forget", queue="default", rate=rate), by="an operator"
    )
    assert begun.total == 2
    while (await bus.requests.ask(asks.BulkList()))[0].state == "running":
        await asyncio.sleep(0)
    bulk = (await bus.requests.ask(asks.BulkList()))[0]
    assert (bulk.state, bulk.done, bulk.skipped, bulk.by) == ("done", 2, 0, "an operator")
    assert [record.queue for record in await bus.requests.ask(FailedList())] == ["other"]
    assert [group.count for group in await bus.requests.ask(asks.FailedGroups())] == [1]


async def test_all_that_match_run_again_also_after_a_restart(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await failed(one, bus, "a", "b", "c")
    begun = await bus.requests.ask(asks.FailedBulk(action="retry", text="fails", rate=0.01))
    while (await bus.requests.ask(asks.BulkList()))[0].done < 1:  # the rest is due much later
        await asyncio.sleep(0)
    assert one.scheduler is not None
    await one.kill(one.scheduler)
    await one.start_scheduler()
    while (found := (await bus.requests.ask(asks.BulkList()))[0]).done < 2:
        await asyncio.sleep(0)
    assert (found.id, found.state) == (begun.id, "running")
    stopped = await bus.requests.ask(asks.BulkStop(id=begun.id))
    assert (stopped.state, stopped.done) == ("stopped", 2)
    counts = await bus.requests.ask(Sizes())
    assert (counts["default"].parked, counts["default"].failed) == (2, 1)


async def test_the_audit_log_says_who_did_what(bed: tuple[Rig, Bus]) -> None:
    _, bus = bed
    await bus.requests.ask(QueuePause(queue="reports"), by="anna\n\x1b[2J")
    await bus.requests.ask(asks.AlertsList())  # changes nothing
    page = await bus.requests.ask(asks.AuditList())
    assert [(line.by, line.what, json.loads(line.args)) for line in page.rows] == [
        ("anna\n\\x1b[2J", "queue.pause", {"queue": "reports"})
    ]
    for number in range(3):
        await bus.requests.ask(QueuePause(queue=f"q{number}"))
    first = await bus.requests.ask(asks.AuditList(limit=2))
    second = await bus.requests.ask(asks.AuditList(limit=2, cursor=first.next))
    queues = [json.loads(line.args)["queue"] for line in (*first.rows, *second.rows)]
    assert queues == ["q2", "q1", "q0", "reports"]
    assert second.next is None


@pytest.mark.parametrize(
    "args", ["{}", '{"state": "nowhere"}', '{"state": "delayed", "limit": 0}', "[]", "5"]
)
async def test_a_request_in_json_is_answered_in_json(bed: tuple[Rig, Bus], args: str) -> None:
    """Whatever is wrong with it: a shell, Node-RED and Home Assistant read no msgpack."""
    one, _ = bed
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def take(message: Message) -> None:
        answers.put_nowait(json.loads(message.payload))
        connection.acknowledge(message)

    connection = await one.transport.connect(ConnectOptions("node-red"), take)
    await connection.subscribe("flows/answers")
    good = '{"state": "delayed"}'
    for number, given in enumerate((good, args)):
        sent = f'{{"reply": "flows/answers", "id": {number}, "args": {given}}}'
        await connection.publish("routeq/rpc/jobs.list", sent.encode())
    found = {answer["id"]: answer for answer in (await answers.get(), await answers.get())}
    assert found[0]["result"] == {"rows": [], "next": None, "scanned": 0}
    assert found[1]["error"].startswith("jobs.list: ")
    await connection.close()


async def test_the_records_of_one_group_are_listed_without_looking_at_others(
    bed: tuple[Rig, Bus],
) -> None:
    one, bus = bed
    await failed(one, bus, "a", "b", "c")
    [group] = await bus.requests.ask(asks.FailedGroups())
    kind = {"job": group.job, "reason": group.reason, "exception": group.exception}
    first = await bus.requests.ask(
        asks.JobsList(state="failed", queue=group.queue, limit=2, **kind)  # type: ignore[arg-type]
    )
    rest = await bus.requests.ask(
        asks.JobsList(
            state="failed",
            queue=group.queue,
            cursor=first.next,
            **kind,  # type: ignore[arg-type]
        )
    )
    assert [len(first.rows), len(rest.rows), rest.next] == [2, 1, None]
    assert first.scanned + rest.scanned == 3
    for other in ({"exception": "KeyError"}, {"reason": "timeout"}):
        of_queue = asks.JobsList(state="failed", **kind | other)  # type: ignore[arg-type]
        in_group = asks.JobsList(state="failed", queue=group.queue, **kind | other)  # type: ignore[arg-type]
        assert (await bus.requests.ask(of_queue)).rows == []
        assert (await bus.requests.ask(in_group)).scanned == 0
    delayed = asks.JobsList(state="delayed", reason=group.reason)
    assert (await bus.requests.ask(delayed)).rows == []
