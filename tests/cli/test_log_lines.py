"""How log lines of services look: with their zone, or with the priorities of the journal."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path

import pytest

from routeq_mqtt.cli.output import log_lines
from routeq_mqtt.testing import MemoryBus
from routeq_mqtt.worker.options import WorkerOptions
from tests.features.result_jobs import Returns


def written(path: Path, monkeypatch: pytest.MonkeyPatch, *, journal: bool) -> list[str]:
    """What is logged to a file as standard error, as systemd connects it or not."""
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setattr(sys, "stderr", stream)
        other = found.st_ino if journal else found.st_ino + 1
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{other}")
        handler = log_lines.handler()
        for level, text in ((logging.INFO, "online"), (logging.ERROR, "no\nroom")):
            handler.handle(logging.LogRecord("routeq_mqtt.x", level, "", 0, text, (), None))
    return path.read_text().splitlines()


def test_a_line_has_local_time_and_its_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = written(tmp_path / "err", monkeypatch, journal=False)
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
    assert re.fullmatch(f"{time} INFO routeq_mqtt\\.x online", first)


def test_the_journal_gets_priorities_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert written(tmp_path / "err", monkeypatch, journal=True) == [
        "<6>INFO routeq_mqtt.x online",
        "<3>ERROR routeq_mqtt.x no",
        "<3>room",
    ]


@pytest.mark.parametrize("enabled", [True, False])
async def test_each_job_that_is_done_is_a_line_with_its_run_time(
    enabled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "routeq_mqtt"):
        async with MemoryBus() as bus:
            await bus.worker(options=WorkerOptions(log_jobs=enabled))
            job = await bus.dispatch(Returns(value=1))
            assert await job.result(10) == 1
    lines = [line for line in caplog.messages if "outcome=done" in line]
    pattern = rf"job=Returns id={job} queue=default attempt=1 outcome=done seconds=\d+\.\d{{3}}"
    assert len(lines) == enabled
    assert all(re.fullmatch(pattern, line) for line in lines)
