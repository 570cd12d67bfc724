"""The shipped role *viewer* may ask for everything that changes nothing, and for nothing else."""

from __future__ import annotations

from routeq_mqtt.wire.observe import catalogue
from tests.cluster.process import ROOT

WAITS = {"result"}
"""A viewer has no jobs of its own to wait for; `jobs.show` says how a job ended."""

CHANGES = {"trigger.add", "schedule.announce"}
"""Sent by each worker at its start: they change something, and are not in the audit log."""


def _of(user: str) -> list[str]:
    lines = (ROOT / "deploy" / "acl" / "services.acl").read_text().splitlines()
    begin = lines.index(f"user {user}")
    end = next(
        (n for n, line in enumerate(lines) if n > begin and line.startswith("user ")), len(lines)
    )
    return [line for line in lines[begin + 1 : end] if line.startswith("topic")]


def test_a_viewer_may_ask_for_all_that_changes_nothing() -> None:
    prefix = "topic write routeq/rpc/"
    may = {line.removeprefix(prefix) for line in _of("viewer") if line.startswith(prefix)}
    looks = {name for name, kind in catalogue.REQUESTS.items() if not kind.ACTS}
    assert may == looks - WAITS - CHANGES


def test_a_viewer_writes_nothing_but_questions_and_its_own_marks() -> None:
    writes = [line for line in _of("viewer") if " write " in line or " readwrite " in line]
    assert [line for line in writes if "routeq/rpc/" not in line] == [
        "topic write $client/#",
        "topic readwrite routeq/probe/#",
    ]
    assert not [line for line in writes if line.endswith(("/#", "+")) and "rpc" in line]
