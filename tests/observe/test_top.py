"""`top` and `events`: what they show, what their keys do, and that no text repaints a terminal."""

from __future__ import annotations

import asyncio
import getpass
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, UnreadableMessage
from routeq_mqtt.cli.asking import name_asker
from routeq_mqtt.cli.manage.events import line
from routeq_mqtt.cli.output.columns import Table
from routeq_mqtt.cli.top.board import Board
from routeq_mqtt.cli.top.details import MOST, Details
from routeq_mqtt.cli.top.keys import press
from routeq_mqtt.cli.top.view import SORTS, Cursor, sorted_queues, sparkline, tables
from routeq_mqtt.scheduler.control import inquiry
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.base import ConnectOptions, Message
from routeq_mqtt.wire.messages.requests import Orders
from routeq_mqtt.wire.messages.status import WorkerLoad, WorkerStatus, encode
from routeq_mqtt.wire.observe.asks import BulkList, FailedGroups
from routeq_mqtt.wire.observe.events import EventSeen, decode_events
from routeq_mqtt.wire.observe.numbers import Alert, Alerts, QueueNumbers
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Report
from tests.observe.rig import Obstructed, Rig, Tallied, counted, gates, rig, until


def said(topic: str, payload: bytes) -> Message:
    return Message(topic=topic, payload=payload, qos=1, retain=True, packet_id=1, dup=False)


def board_of(*queues: QueueNumbers) -> Board:
    board = Board(Topics())
    for one in queues:
        board.take(said(f"routeq/queues/{one.queue}", one.encode()), 0.0)
    return board


def drawn(board: Board, cursor: Cursor) -> list[str]:
    parts = []
    for part in tables(board, cursor, now=1_000.0):
        if isinstance(part, Table):
            parts += [
                " ".join(cell if isinstance(cell, str) else cell[0] for cell in row)
                for row in part.rows
            ]
        else:
            parts.append(part)
    return parts


def test_a_queue_is_a_row_with_what_ended_lately() -> None:
    board = board_of(QueueNumbers(queue="a", parked=2, waiting=1, oldest_at=880.0, slots=4))
    for done in (0, 4, 8):
        board.take(said("routeq/queues/a", QueueNumbers(queue="a", done_total=done).encode()), 0.0)
        board.tick()
    assert list(board.queues["a"].ended) == [0, 4, 4]
    board.take(
        said("routeq/queues/a", QueueNumbers(queue="a", parked=3, oldest_at=880.0).encode()), 0.0
    )
    [row, *_] = drawn(board, Cursor())
    assert row.startswith("a 3 ")
    assert "2.0 m" in row
    assert " ██" in row


def test_queues_are_sorted_by_what_needs_a_look() -> None:
    board = board_of(
        QueueNumbers(queue="a", parked=1, oldest_at=5.0),
        QueueNumbers(queue="b", parked=9, failed=2),
        QueueNumbers(queue="c", oldest_at=3.0, failed=7),
    )
    names = {by: [one.numbers.queue for one in sorted_queues(board, by)] for by in SORTS}
    assert names == {
        "name": ["a", "b", "c"], "waiting": ["b", "a", "c"], "oldest": ["c", "a", "b"],
        "failed": ["c", "b", "a"],
    }  # fmt: skip


def test_a_queue_that_is_gone_and_an_alert_that_is_over_are_not_shown() -> None:
    board = board_of(QueueNumbers(queue="a"))
    alert = Alert(key="k", kind="queue stuck", text="look at a")
    board.take(said("routeq/alerts", Alerts(alerts=[alert]).encode()), 0.0)
    assert drawn(board, Cursor())[0] == "! look at a"
    board.take(said("routeq/alerts", Alerts().encode()), 0.0)
    board.take(said("routeq/queues/a", b""), 0.0)
    board.take(said("routeq/queues/a", b"{"), 0.0)
    assert not board.queues
    assert not board.alerts


def test_bars_are_as_high_as_the_largest() -> None:
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as made:
        yield made


async def board_on(bus: Bus) -> Board:
    board = Board(bus.sender.topics)
    await bus.sender.listen(board.filters(), lambda one: board.take(one, time.monotonic()))
    await bus.sender.caught_up()
    return board


async def test_keys_pause_and_resume_the_selected_queue(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    for queue in ("a", "b"):
        await bus.dispatch(Tallied(key="x"), queue=queue, confirm="stored")
    await one.observers.numbers.publish()
    board, cursor = await board_on(bus), Cursor()
    await press(bus, board, cursor, "j")
    await press(bus, board, cursor, "p")
    assert cursor.said == "paused b"
    assert [order.name for order in await bus.requests.ask(Orders())] == ["b"]
    await press(bus, board, cursor, "r")
    assert await bus.requests.ask(Orders()) == []
    await press(bus, board, cursor, "x")
    assert cursor.said == ""


async def test_keys_cancel_a_job_and_drain_its_worker(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    gates["g"] = asyncio.Event()
    await one.start_worker()
    handle = await bus.dispatch(Obstructed(key="g"), confirm="stored")
    board, cursor = await board_on(bus), Cursor(pane=1)
    await until(lambda: bool(board.running()))
    await press(bus, board, cursor, "c")
    assert (await handle.wait(timeout=10)).state == "cancelled"
    await press(bus, board, cursor, "\t")
    await press(bus, board, cursor, "d")
    await until(lambda: board.workers()[0].load.drained)


async def test_an_idle_worker_says_that_it_is_drained(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker()
    board, cursor = await board_on(bus), Cursor(pane=2)
    await until(lambda: bool(board.workers()))
    for key, drained in (("d", True), ("r", False), ("d", True)):
        await press(bus, board, cursor, key)
        await until(lambda drained=drained: board.workers()[0].load.drained is drained)  # type: ignore[misc]


async def test_a_key_retries_all_failures_of_a_kind(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    await one.start_worker()
    await bus.dispatch(Tallied(key="a", outcome="fails"))
    await until(lambda: len(counted) == 2)
    board = await board_on(bus)
    while not board.failures:
        board.failures = await bus.requests.ask(FailedGroups())
    name_asker(bus, "top")
    await press(bus, board, Cursor(pane=3), "t")
    await until(lambda: len(counted) == 4)
    [bulk] = await bus.requests.ask(BulkList())
    assert bulk.by == f"top: {getpass.getuser()}@{socket.gethostname()}"
    assert bulk.exception == "ValueError"


def test_an_event_is_one_line_whatever_it_holds() -> None:
    one = EventSeen(
        event="failed", id="x", job="Mail\x1b[2J", queue="q", by="w", at=0.0,
        more={"attempt": 2, "error": "ValueError: a\nb]0;evil\x07"},
    )  # fmt: skip
    shown = line(one)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "attempt=2" in shown


@pytest.mark.parametrize("payload", [b"{}", b"[1]", b'[{"event": "done"}]', b"x", b'[{"id": 5}]'])
def test_what_is_no_list_of_events_is_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode_events(payload)


async def until_known(details: Details, board: Board, number: int) -> None:
    while len(details.known) < number:
        details.look(one.id for one in board.running())
        await details.finish()


async def test_running_jobs_have_the_names_that_their_worker_says(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    gates["g"] = asyncio.Event()
    await one.start_worker("default", "b", concurrency=4)
    plain = await bus.dispatch(Obstructed(key="g"))  # no database has it
    stored = await bus.dispatch(Obstructed(key="g"), queue="b", confirm="stored")
    board, details = await board_on(bus), Details(bus)
    await until(lambda: len(board.running()) == 2)
    assert {(job.job, job.queue) for job in board.running()} == {(None, None)}
    await until_known(details, board, 2)
    board.details = details.known
    found = {job.id: (job.job, job.queue) for job in board.running()}
    assert found == {
        plain.id: ("Obstructed", "default"), stored.id: ("Obstructed", "b")
    }  # fmt: skip
    assert any("Obstructed default 1 " in row for row in drawn(board, Cursor(pane=1)))
    gates["g"].set()
    await until(lambda: not board.running())
    details.look([])
    assert details.known == {}  # nothing is kept of what is over


async def test_a_worker_that_does_not_answer_is_waited_for_and_not_asked_over_and_over(
    bed: tuple[Rig, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, bus = bed
    monkeypatch.setattr(inquiry, "_WITHIN", 0.05)
    silent = await one.transport.connect(ConnectOptions("silent"), lambda message: None)
    asked: list[Message] = []
    listener = await one.transport.connect(ConnectOptions("listener"), asked.append)
    await listener.subscribe("routeq/ask/+")
    status = WorkerStatus(id="silent", state="online", queues=["q"], sessions=[], at=time.time())
    await silent.publish("routeq/workers/silent", encode(status), retain=True)
    load = WorkerLoad(running={f"job-{n}": 1 for n in range(200)}, active={"q": 200})
    await silent.publish("routeq/running/silent", encode(load), retain=True)
    board, details = await board_on(bus), Details(bus)
    assert len(board.running()) == 200
    for _ in range(3):
        details.look(one.id for one in board.running())
        await details.finish(timeout=60)
    assert len(asked) == MOST
    assert details.known == {}
    assert [row for row in drawn(board, Cursor(pane=1)) if "? ? 1 silent" in row]
    await silent.close()
    await listener.close()


@pytest.mark.slow
async def test_the_commands_show_a_bus(cluster: Cluster) -> None:
    if cluster.kind != "embedded":
        pytest.skip("it is about what is printed: one broker is enough")
    await cluster.scheduler()
    await cluster.worker()
    following = asyncio.create_task(
        cluster.cli("events", "--job", "Report", "--json", "--count", "1")
    )
    async with cluster.bus() as bus:
        await bus.dispatch(Report(key="later"), queue="slow", delay=3600, confirm="stored")
        while not following.done():  # until it has subscribed
            await bus.dispatch(Report(key="x"))
            await asyncio.wait({following}, timeout=0.2)
        code, output = following.result()
        assert code == 0
        assert json.loads(output)["job"] == "Report"
        board = await board_on(bus)
        await until(lambda: "slow" in board.queues)
    code, output = await cluster.cli("top", "--once", "--json")
    assert code == 0
    shown = json.loads(output)
    assert [one["delayed"] for one in shown["queues"] if one["queue"] == "slow"] == [1]
    assert [one["state"] for one in shown["workers"]] == ["online"]
