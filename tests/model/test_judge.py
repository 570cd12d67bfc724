"""What the judge of the model excuses: outcomes that a worker took along, and no others."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from routeq_mqtt.transport.base import ConnectOptions
from routeq_mqtt.wire.envelopes.envelope import Envelope
from tests.model.loop import Process, VirtualLoop
from tests.model.machine import Disk, Sockets
from tests.model.stories import plan
from tests.model.world import Program, Run, World


@pytest.mark.parametrize(
    ("away", "held", "attempt", "excused"),
    [
        pytest.param("broker", True, 1, True, id="took it along"),
        pytest.param("scheduler", True, 1, True, id="nobody to take it"),
        pytest.param(None, True, 1, False, id="all were there"),
        pytest.param("broker", False, 1, False, id="the broker had the outcome"),
        pytest.param("broker", True, 2, False, id="another attempt"),
    ],
)
def test_a_double_of_a_worker_that_left(
    tmp_path: Path, *, away: str | None, held: bool, attempt: int, excused: bool
) -> None:
    """It did a job and ended politely; the job was done once more by another worker."""
    loop = VirtualLoop()
    world = World(1, plan(faults=[]), tmp_path, loop)
    for number in (1, 2):
        run = Run("id", 1, Process(f"worker{number}"), 10.0 * number)
        run.done_at = run.at + 1.0
        world.runs.append(run)
    sockets = Sockets(world.broker, world.rng, set())
    program = Program("worker", world.runs[0].process, sockets, Disk(float), world.clock)
    scheduler = replace(program, kind="scheduler", service=SimpleNamespace(online=asyncio.Event()))
    world.programs.append(scheduler)

    async def leave() -> None:
        options = ConnectOptions("worker1/a", persistent=True, session_expiry=60)
        connection = await program.sockets.connect(options, lambda message: None)
        await connection.subscribe("queue/a")
        if held:
            envelope = Envelope(job="work", id="id", attempt=attempt)
            await connection.publish("queue/a", envelope.encode())
        if away == "broker":
            world.broker.stop()
        if away != "scheduler":
            scheduler.service.online.set()
        world._note_end(program, None)

    loop.run_until_complete(leave())
    world._judge_doubles()
    loop.close()
    assert world.verdict.doubled == ([] if excused else [f"id {world.runs[0]}, {world.runs[1]}"])
