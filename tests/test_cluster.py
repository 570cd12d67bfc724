"""The test cluster itself: a broker that is missing is a failure where it must be there."""

from __future__ import annotations

import sys

import pytest

from tests.cluster.process import Process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ci", "code", "says"), [("true", 1, "must install it"), ("", 0, "skipped")]
)
async def test_a_missing_mosquitto_fails_the_continuous_integration_only(
    ci: str, code: int, says: str
) -> None:
    test = "tests/contract/test_jobs.py::test_a_job_runs[mosquitto]"
    command = (sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", test)
    env = {"CI": ci, "ROUTEQ_TEST_MOSQUITTO": "/nonexistent/mosquitto"}
    process = await Process.start("pytest", *command, env=env)
    assert await process.ended() == code, process.output
    assert says in process.output
