"""With 200,000 rows a page costs what it costs with few: by query plan, and by SQLite's steps."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from routeq_mqtt.scheduler.observe.numbers import _oldest
from routeq_mqtt.scheduler.store.observe import failures, pages
from routeq_mqtt.scheduler.store.observe.failures import FailedFilter
from routeq_mqtt.scheduler.store.schema.schema import migrations_from
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.observe.asks import JobsList

ROWS, QUEUES = 200_000, 200
STEPS = 200
"""Steps of SQLite's virtual machine that a row of a page may cost; a scan would cost thousands."""

_STATES = ("delayed", "parked", "released", "held", "limited", "done")
_ENVELOPE = Envelope(id="x", job="Report", data={"key": 1}).encode()
_RECORD = FailedRecord(
    id="x", queue="q", job="Report", reason="exception", error="ValueError: no", attempts=[],
    worker=None, failed_at=1.0, envelope=_ENVELOPE,
).encode()  # fmt: skip


@pytest.fixture(scope="module")
def large() -> Iterator[sqlite3.Connection]:
    """Rows in every state, and failed records; without triggers, which only slow this down."""
    db = sqlite3.connect(":memory:")
    for script in migrations_from(0, ""):
        db.executescript(script)
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    for name in names:
        db.execute(f"DROP TRIGGER {name}")
    db.executemany(
        """INSERT INTO jobs (id, queue, attempt, deliveries, state, run_at, seq, durable, done_at,
        lane, envelope) VALUES (?, ?, 1, 1, ?, ?, ?, ?, ?, ?, ?)""",
        (
            (f"{n:08}", f"q{n % QUEUES}", _STATES[n % 6], float(n), n, n % 2, float(n),
             f"[{n % 5}]" if n % 3 else None, _ENVELOPE)
            for n in range(ROWS)
        ),
    )  # fmt: skip
    db.executemany(
        """INSERT INTO failed (id, queue, job, reason, error, worker, failed_at, record, exception)
        VALUES (?, ?, 'Report', 'exception', 'ValueError: no', NULL, ?, ?, ?)""",
        ((f"{n:08}", f"q{n % QUEUES}", float(n // 3), _RECORD, f"E{n % 7}") for n in range(20_000)),
    )
    db.execute(
        """INSERT INTO failed_groups SELECT queue, job, reason, exception, count(*), 0, 1, ''
        FROM failed GROUP BY 1, 2, 3, 4"""
    )
    yield db
    db.close()


def _steps(db: sqlite3.Connection, act: Any) -> tuple[Any, int]:
    """What a function returns, and how many steps SQLite has made for it."""
    made = 0

    def step() -> int:
        nonlocal made
        made += 10
        return 0

    db.set_progress_handler(step, 10)
    try:
        return act(), made
    finally:
        db.set_progress_handler(None, 10)


@pytest.mark.parametrize("queue", [None, "q7"])
@pytest.mark.parametrize("state", [*_STATES, "failed"])
def test_each_page_costs_the_same_up_to_the_last(
    large: sqlite3.Connection, state: str, queue: str | None
) -> None:
    if queue is not None:  # a queue that has jobs in this state
        queue = pages.page(large, JobsList(state=state, limit=1)).rows[0].queue
    seen: list[str] = []
    cursor = None
    for number in range(30):
        asked = JobsList(state=state, queue=queue, limit=20, cursor=cursor)
        if state == "done" and queue is not None:
            asked = JobsList(state=state, queue=queue, limit=20, cursor=cursor, scan=200)
        page, steps = _steps(large, lambda asked=asked: pages.page(large, asked))
        assert steps < STEPS * (pages._BATCH + 2 * page.scanned), (number, steps)
        seen += [row.id for row in page.rows]
        if page.next is None:
            break
        cursor = page.next
    assert len(seen) == len(set(seen))
    assert len(seen) > 50
    assert {row.state for row in page.rows} <= {state}


@pytest.mark.parametrize("state", ["delayed", "limited", "failed"])
def test_pages_together_are_all_rows(large: sqlite3.Connection, state: str) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = pages.page(large, JobsList(state=state, limit=500, scan=500, cursor=cursor))
        seen += [row.id for row in page.rows]
        if (cursor := page.next) is None:
            break
    table = "failed" if state == "failed" else f"jobs WHERE state = '{state}'"
    rows = large.execute(f"SELECT id FROM {table}")  # noqa: S608 - a name of this file
    assert sorted(seen) == sorted(row[0] for row in rows)


def test_the_oldest_of_each_queue_comes_from_an_index(large: sqlite3.Connection) -> None:
    queues = [f"q{n}" for n in range(QUEUES)]
    oldest, steps = _steps(large, lambda: _oldest(large, queues, set()))
    assert len(oldest) == len([q for q in queues if q in oldest]) > 0
    assert steps < STEPS * QUEUES * 3


def test_the_count_of_failures_comes_from_their_groups(large: sqlite3.Connection) -> None:
    wanted = FailedFilter(exception="E3")
    (count, exact), steps = _steps(large, lambda: failures.count(large, wanted))
    assert (count, exact) == (len(range(3, 20_000, 7)), True)
    assert steps < STEPS * QUEUES * 7


def _statements() -> dict[str, str]:
    found = {}
    for name, value in vars(sql).items():
        if isinstance(value, str) and "SELECT" in value and not name.startswith("_"):
            found[name] = value
        elif isinstance(value, dict | tuple) and name.isupper():
            named = value.items() if isinstance(value, dict) else enumerate(value)
            found |= {f"{name} {key}": part for key, part in named if "SELECT" in part}
    return found


@pytest.mark.parametrize("name", _statements())
def test_no_statement_scans_sorts_or_counts_a_table_of_jobs(
    large: sqlite3.Connection, name: str
) -> None:
    statement = _statements()[name]
    assert "OFFSET" not in statement
    assert "count(*)" not in statement
    numbered = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    values = [1] * max(numbered, default=statement.count("?"))
    plan = [row[3] for row in large.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not [step for step in plan if re.match(r"SCAN (jobs|failed)\b(?!_)", step)], plan
    if not re.search(r"FROM (failed_groups|bulk|counts)", statement):  # small tables
        assert not [step for step in plan if "TEMP B-TREE" in step], plan
