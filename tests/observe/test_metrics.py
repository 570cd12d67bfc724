"""What Prometheus gets: read by its own parser, and the same as what happened."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from routeq_mqtt import Bus, ConfigurationError
from routeq_mqtt.cli import app
from routeq_mqtt.cli.processes.places import read_place
from routeq_mqtt.scheduler.observe.exposition import family, histogram
from routeq_mqtt.scheduler.observe.metrics import MOST_LABELS, bounded
from routeq_mqtt.wire.observe.asks import MetricsText
from routeq_mqtt.wire.observe.histogram import BOUNDS
from routeq_mqtt.wire.observe.tally import Tally
from routeq_mqtt.worker.report import stats as worker_stats
from tests.observe.rig import Rig, Tallied, counted, rig, until

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    found: Series = {}
    for one in text_string_to_metric_families(text):
        for sample in one.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


@pytest.fixture
async def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Rig, Bus]]:
    monkeypatch.setattr(worker_stats, "_EVERY", 0.01)
    async with rig(tmp_path) as made:
        yield made


async def fetch(port: int, head: bytes) -> tuple[str, str]:
    """Head and body of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = (await reader.read()).decode()
    writer.close()
    first, _, body = answer.partition("\r\n\r\n")
    return first, body


async def test_the_page_says_what_happened(bed: tuple[Rig, Bus]) -> None:
    one, bus = bed
    assert one.scheduler is not None
    await one.stop(one.scheduler)
    await one.start_scheduler(metrics=("127.0.0.1", 0))
    worker = await one.start_worker("default", concurrency=4)
    for n in range(40):
        await bus.dispatch(Tallied(key=str(n), outcome=["done", "fails", "once", "done"][n % 4]))
    await bus.dispatch(Tallied(key="later"), queue="slow", delay=3600, confirm="stored")
    await until(lambda: len(counted) == 60)
    statistics, server = one.observers.statistics, one.observers.metrics_server
    await until(lambda: sum(t.attempts for t in statistics.totals.values()) == 60)
    await one.observers.numbers.publish()
    assert server is not None
    await server.listening.wait()
    head, body = await fetch(server.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "text/plain; version=0.0.4" in head
    series = parsed(body)
    about = {"queue": "default", "job": "Tallied"}
    assert value(series, "routeq_jobs_total", **about, outcome="done") == 30
    assert value(series, "routeq_jobs_total", **about, outcome="failed") == 10
    assert value(series, "routeq_jobs_total", **about, outcome="retried") == 20
    assert value(series, "routeq_attempts_total", **about) == 60
    assert value(series, "routeq_failures_total", reason="exception") == 10
    assert value(series, "routeq_job_runtime_seconds_count", **about) == 60
    assert value(series, "routeq_job_runtime_seconds_bucket", **about, le="+Inf") == 60
    assert value(series, "routeq_job_wait_seconds_count", **about) == 40
    assert value(series, "routeq_queue_jobs", queue="slow", state="delayed") == 1
    assert value(series, "routeq_queue_workers", queue="default") == 1
    assert value(series, "routeq_queue_slots", queue="default") == 4
    assert value(series, "routeq_workers", state="online") == 1
    assert value(series, "routeq_scheduler_up") == 1
    assert value(series, "routeq_broker_up") == 1
    assert value(series, "routeq_scheduler_standbys") == 0
    assert value(series, "routeq_scheduler_database_bytes") > 0
    assert value(series, "routeq_scheduler_commit_seconds_count") > 0
    assert value(series, "routeq_scheduler_rows", state="delayed") == 1
    status = next(m.status for m in one.scheduler._roles._context.fleet.members.values())  # type: ignore[union-attr]
    assert status is not None
    assert status.id not in body
    assert parsed(await bus.requests.ask(MetricsText())).keys() == series.keys()
    await one.stop(worker)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
        (b"GET /metrics/../x HTTP/1.1\r\n\r\n", "404"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
        (b"\x16\x03\x01\r\n\r\n", "405"),
        (b"x" * 100_000, ""),
    ],
)
async def test_anything_else_gets_nothing(bed: tuple[Rig, Bus], head: bytes, status: str) -> None:
    one, _ = bed
    assert one.scheduler is not None
    await one.stop(one.scheduler)
    await one.start_scheduler(metrics=("127.0.0.1", 0))
    server = one.observers.metrics_server
    assert server is not None
    await server.listening.wait()
    try:
        first, body = await fetch(server.port, head)
    except ConnectionResetError:
        first, body = "", ""
    assert first[9:12] == status
    assert "routeq_" not in body


def test_names_that_end_no_line_and_no_label() -> None:
    evil = 'a"} 1\nrouteq_up 0 \\ <script>'
    [(key, number)] = parsed(
        "\n".join(family("x", "gauge", "X.", [({"q": evil}, 5)])) + "\n"
    ).items()
    assert key == ("x", frozenset({("q", evil)}))
    assert number == 5


def test_a_histogram_is_cumulative_and_ends_with_infinity() -> None:
    lines = histogram("h", "H.", [({"q": "a"}, [2, 0, 1], 0.25)])
    series = parsed("\n".join(lines) + "\n")
    bounds = sorted(float(dict(labels)["le"]) for name, labels in series if name == "h_bucket")
    assert bounds == [*BOUNDS, math.inf]
    assert value(series, "h_bucket", q="a", le="0.005") == 2
    assert value(series, "h_bucket", q="a", le="300") == 3
    assert value(series, "h_sum", q="a") == 0.25


def test_pairs_beyond_200_count_as_other() -> None:
    totals = {("q", f"Job{n}"): Tally(attempts=1) for n in range(MOST_LABELS + 50)}
    found = bounded(totals)
    assert len(found) == MOST_LABELS + 1
    assert found["other", "other"].attempts == 50
    assert bounded(totals)["other", "other"].attempts == 50  # and is counted anew each time


@pytest.mark.parametrize(
    ("said", "meant"),
    [("9108", ("127.0.0.1", 9108)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:80", ("::1", 80))],
)
def test_a_place_is_a_port_with_or_without_a_host(said: str, meant: tuple[str, int]) -> None:
    assert read_place(said, "--metrics") == meant


@pytest.mark.parametrize("said", ["", "x", "1:", "a b:1", "70000", "٣"])
def test_anything_else_is_refused_before_the_scheduler_starts(said: str) -> None:
    with pytest.raises(ConfigurationError, match="--metrics"):
        read_place(said, "--metrics")
    done = CliRunner().invoke(app, ["scheduler", "--metrics", said])
    assert done.exit_code != 0
