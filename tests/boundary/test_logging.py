"""What a worker logs, whatever the application does with its own logging."""

from __future__ import annotations

import pytest

from tests.boundary.logging_jobs import Configures, FailsTwice, LogsInAProcess
from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.slow


async def test_a_logging_configuration_silences_no_line(mosquitto_alone: Cluster) -> None:
    """At the import of --app, and again inside of a job."""
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await cluster.worker("default", "--app", "tests.boundary.logging_jobs")
    async with cluster.bus() as bus:
        await bus.dispatch(LogsInAProcess())
        await worker.says("INFO tests.boundary.logging_jobs a line of a job in a process")
        await (await bus.dispatch(Configures(), result_ttl=60)).result()
        await bus.dispatch(FailsTwice())
        await cluster.failed_records(bus, 1)
    assert await worker.stop() == 0
    assert "own WARNING routeq_mqtt.worker.execute.raised job=FailsTwice" in worker.output
    assert "own ERROR routeq_mqtt.worker.execute.failures job=FailsTwice" in worker.output
    assert "own INFO routeq_mqtt.cli.processes.run worker stopped jobs=" in worker.output


async def test_a_failing_job_logs_the_last_frames_of_its_traceback(
    mosquitto_alone: Cluster,
) -> None:
    """At WARNING for a retry, at ERROR for a failed record; both have a bound."""
    cluster = mosquitto_alone
    await cluster.scheduler()
    worker = await cluster.worker("default", "--app", "tests.boundary.logging_jobs")
    async with cluster.bus() as bus:
        await bus.dispatch(FailsTwice())
        await cluster.failed_records(bus, 1)
    await worker.stop()
    for level, outcome in (("WARNING", "retry"), ("ERROR", "failed")):
        [first] = [
            number
            for number, line in enumerate(worker.lines)
            if f"own {level} " in line and f"outcome={outcome}" in line
        ]
        rest = worker.lines[first + 1 :]
        of_ours = (number for number, line in enumerate(rest) if line.startswith("own "))
        trace = rest[: next(of_ours, len(rest))]
        text = "\n".join(trace)
        assert len(worker.lines[first]) < 2_000
        assert 1_000 < len(text) <= 8_000
        assert sum('File "' in line for line in trace) <= 12
        assert text.endswith("xxx")
