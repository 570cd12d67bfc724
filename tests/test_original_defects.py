"""The defects of RouteMQ 0.25.0, numbered as in docs/migrating-from-routemq.md, do not exist here.

Most are held by tests that stand elsewhere for their own sake: the table says which. The others
stand below, each named for its defect.
"""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Sequence

import pytest

from tests.cluster import rare_reports
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import Blocking, Gated, LastChance, Report
from tests.cluster.process import ROOT

JOBS = "contract/test_jobs.py"
PROCESSES = "contract/test_processes.py"

HELD_BY: dict[int, tuple[str, ...]] = {
    1: (f"{PROCESSES}::test_ten_thousand_jobs_none_lost_none_doubled",),
    2: (f"{JOBS}::test_a_timeout_stops_the_handler_before_the_retry",),
    3: (
        f"{PROCESSES}::test_an_earlier_queue_comes_first_however_long_the_later_one_is",
        f"{JOBS}::test_a_job_without_a_worker_is_parked_and_runs_when_one_comes",
    ),
    4: (
        "test_original_defects.py::test_4_fifty_delayed_jobs_are_released_once",
        f"{PROCESSES}::test_a_second_scheduler_refuses_to_start",
    ),
    5: (f"{JOBS}::test_a_failed_hook_that_raises_keeps_the_record",),
    6: (
        "contract/test_bad_input.py"
        "::test_bad_messages_are_kept_with_their_bytes_and_the_worker_runs_on",
    ),
    7: (
        "test_original_defects.py::test_7_and_18_a_killed_worker_loses_nothing",
        "faults/test_workers.py::test_workers_are_killed_in_the_middle_of_many_short_jobs",
        f"{PROCESSES}::test_a_scheduler_restart_keeps_delayed_jobs_and_releases_overdue_ones",
    ),
    8: (f"{JOBS}::test_a_jobs_own_timeout_beats_the_workers_flag",),
    9: ("job/test_options.py::test_the_jobs_own_value_beats_the_flag_and_the_flag_the_default",),
    10: (
        "test_original_defects.py::test_10_a_handler_that_blocks_stops_nothing_else",
        f"{JOBS}::test_plain_functions_run_in_threads_and_block_nothing",
    ),
    11: ("test_original_defects.py::test_11_a_shutdown_past_its_time_costs_no_job",),
    12: ("test_original_defects.py::test_12_failed_is_called_for_a_job_that_died_on_its_last_try",),
    13: ("cli/test_commands.py::test_failed_records_from_list_to_flush",),
    14: ("cli/test_commands.py::test_where_the_broker_is_down_there_is_one_clear_line",),
    15: (f"{JOBS}::test_plain_functions_run_in_threads_and_block_nothing",),
    16: (
        "test_original_defects.py::test_16_bulk_has_many_jobs_in_flight_at_once",
        "transport/test_seam.py::test_a_window_bounds_what_is_in_flight",
    ),
    17: ("wire/test_record.py::test_ids_are_unique_and_in_order_also_when_the_clock_steps_back",),
    18: ("test_original_defects.py::test_7_and_18_a_killed_worker_loses_nothing",),
}


def test_every_defect_is_held_by_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "migrating-from-routemq.md").read_text()
    assert set(HELD_BY) == {
        int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    }
    missing = []
    for number, tests in HELD_BY.items():
        for test in tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / "tests" / path).read_text())
            if name not in {getattr(node, "name", None) for node in tree.body}:
                missing.append(f"{number}: {test}")
    assert not missing


async def test_4_fifty_delayed_jobs_are_released_once(cluster: Cluster) -> None:
    scheduler = await cluster.scheduler()
    await cluster.worker()
    async with cluster.bus() as bus:
        for number in range(50):
            await bus.later(0.5, Report(key=str(number)))
        await cluster.recorder.count("ran", 5)
        await scheduler.kill()  # in the middle of the release
        await cluster.scheduler()
        await cluster.recorder.wait(lambda: len(cluster.recorder.ran()) == 50, "all fifty")
        await bus.later(0.1, Report(key="last"))
        await cluster.recorder.wait(lambda: "last" in cluster.recorder.ran())
    assert set(cluster.recorder.ran().values()) == {1}


@pytest.mark.stock
async def test_7_and_18_a_killed_worker_loses_nothing(cluster: Cluster) -> None:
    await cluster.scheduler()
    first = await cluster.worker("default", "--concurrency", "3", "--prefetch", "20")
    async with cluster.bus() as bus:
        for number in range(20):
            await bus.dispatch(Gated(key=str(number), gate="go"))
    await cluster.recorder.count("waits", 3)
    await first.kill()
    await cluster.worker("default", "--concurrency", "20")
    cluster.recorder.open("go")
    await cluster.recorder.wait(lambda: len(cluster.recorder.ran()) == 20, "all twenty")
    assert set(cluster.recorder.ran().values()) == {1}


async def test_10_a_handler_that_blocks_stops_nothing_else(cluster: Cluster) -> None:
    await cluster.scheduler()
    await cluster.worker("default", "--concurrency", "2")
    slow = Blocking(key="slow")
    slow.timeout = 0.1
    slow.max_tries = 1
    async with cluster.bus() as bus:
        await bus.dispatch(slow)
        await cluster.recorder.count("waits", 1)
        await bus.dispatch(Report(key="beside"))
        await cluster.recorder.count("ran", 1)
        [worker] = [m for m in (await _members(bus)) if m["state"] == "online"]
    assert worker
    cluster.recorder.open("slow")
    await cluster.recorder.count("ran", 2)  # a thread cannot be stopped: it ran to its end, once
    assert cluster.recorder.ran() == {"beside": 1, "slow": 1}


async def _members(bus: object) -> list[dict[str, object]]:
    from dataclasses import asdict

    from routeq_mqtt import Bus

    assert isinstance(bus, Bus)
    await bus.sizes.refresh()
    return [asdict(member.status) for member in bus.sizes.fleet.members.values() if member.status]


@pytest.mark.stock
async def test_11_a_shutdown_past_its_time_costs_no_job(cluster: Cluster) -> None:
    await cluster.scheduler()
    first = await cluster.worker("default", "--shutdown-timeout", "0.1", **rare_reports.ENV)
    async with cluster.bus() as bus:
        await bus.dispatch(LastChance(gate="go"))
        await cluster.recorder.count("waits", 1)
        first.send(signal.SIGTERM)
        assert await first.ended() == 0
        await cluster.worker()
        await cluster.recorder.count("waits", 2)
        cluster.recorder.open("go")
        await cluster.recorder.count("ran", 1)
        assert await bus.requests.call("failed.list") == []
    assert [event["attempt"] for event in cluster.recorder.events] == [1, 1, 1]


@pytest.mark.stock
async def test_12_failed_is_called_for_a_job_that_died_on_its_last_try(cluster: Cluster) -> None:
    await cluster.scheduler()
    first = await cluster.worker()
    async with cluster.bus() as bus:
        job_id = await bus.dispatch(LastChance(gate="never"))
        await cluster.recorder.count("waits", 1)
        await first.kill()
        await cluster.worker()
        [record] = await cluster.failed_records(bus, 1)
    await cluster.recorder.count("failed", 1)
    assert (record["id"], record["reason"]) == (job_id, "worker died while running it")


async def test_16_bulk_has_many_jobs_in_flight_at_once(cluster: Cluster) -> None:
    """What `publish_many` has in flight at once is in tests/transport/test_seam.py."""
    await cluster.scheduler()
    together: list[int] = []
    async with cluster.bus() as bus:
        connection = await bus.sender.link.ready()
        publish_many = connection.publish_many

        async def counted(messages: Sequence[tuple[str, bytes]]) -> list[int | None]:
            together.append(len(messages))
            return await publish_many(messages)

        connection.publish_many = counted  # type: ignore[method-assign]
        await bus.bulk(Report(key=str(number)) for number in range(1000))
    assert max(together) >= 100
    assert len(together) <= 20
