"""One run of the model: a broker, processes on it, and what became of every job."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import math
import os
import random
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.errors import ConfigurationError, RouteqError, SchedulerRunning, UnreadableMessage
from routeq_mqtt.scheduler.options import SchedulerOptions
from routeq_mqtt.scheduler.scheduler import Scheduler
from routeq_mqtt.scheduler.store.database import Database
from routeq_mqtt.scheduler.store.engines.engine import Held
from routeq_mqtt.scheduler.store.engines.postgres.url import DatabasePlace
from routeq_mqtt.scheduler.store.store import Store
from routeq_mqtt.scheduler.upkeep.clock_jumps import STEP as UNNOTICED
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.testing import BrokerOptions
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire import ids
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.worker.options import WorkerOptions
from routeq_mqtt.worker.worker import Worker
from tests.model.devices import CountingBroker, Devices
from tests.model.jobs import WORLDS, Work
from tests.model.loop import PROCESS, Process, VirtualLoop
from tests.model.machine import Disk, Sockets, VirtualClock
from tests.model.plan import CALM, STEP, WIPE, Fault, Plan, Sending

SETTLED_AFTER = 150.0
"""Seconds after the last fault by which every job must have ended."""

SENDERS = ("producer", "device")

_SAVE_EVERY = 1.0

_TRIPS = 50
"""Most trips through the network that a job takes, its retries included."""

_LOOKS_EVERY = 5.0
"""Seconds between two looks of mosquitto at who is silent: the scheduler may adopt a worker whose
connection it still takes for open."""

_INSTANT = 0.001
_IN_TIME = 60.0
"""Seconds that a job waits at most, beyond its delay, for a slot in a worker that is busy."""

_END_OF_DAYS = 1e7
"""Seconds from the truth of a wall clock that every time of the day is over by."""


@dataclass(eq=False)
class Run:
    """One run of a job."""

    job_id: str
    attempt: int
    process: Process
    at: float
    done_at: float | None = None
    again_at: float | None = None
    key: str = ""

    def __str__(self) -> str:
        return f"{self.process.name}@{self.at:.3f} attempt {self.attempt}"


@dataclass(eq=False)
class Program:
    """A process that is started again when it ends."""

    kind: str
    process: Process
    sockets: Sockets
    disk: Disk
    clock: VirtualClock
    service: Any = None
    running: asyncio.Task[Any] | None = None


@dataclass
class Verdict:
    """How a run ended.

    Attributes:
        lost: accepted jobs that neither ran nor failed.
        stuck: rows of jobs that the scheduler still waits for.
        doubled: jobs that ran more often than the allowed causes explain.
        crashed: programs that ended by an error of their own.
        untimely: jobs that began before their delay was over, or long after that.
    """

    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    untimely: list[str] = field(default_factory=list)
    jobs: int = 0
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.stuck or self.doubled or self.crashed or self.untimely)


class World:
    """One run of the model and its outcome."""

    def __init__(self, seed: int, plan: Plan, folder: Path, loop: VirtualLoop) -> None:
        self.rng = Random(f"world {seed}")
        self.plan = plan
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.db = folder / "routeq.db"
        self.broker = CountingBroker(
            BrokerOptions(
                mqtt5=plan.mqtt5,
                reports_no_subscribers=plan.reports_no_subscribers,
                shares=plan.sharing != "scheduler",
                delay=self._delay,
                packet_ids=plan.packet_ids,
            ),
            clock=self.clock,
        )
        self.verdict = Verdict()
        self.programs: list[Program] = []
        self.accepted: dict[str, tuple[Sending, float]] = {}
        self.runs: list[Run] = []
        self.unconfirmed: set[str] = set()
        self.saves: list[float] = [0.0]
        self.broker_kills: list[tuple[float, float]] = []
        self.wipes: list[float] = []
        self.hurt: dict[str, list[float]] = {}
        self.gave_up: set[tuple[str, str, int]] = set()
        self.unnoticed = 0.0
        self.over = False
        self.devices = Devices(self)
        self._names: Counter[str] = Counter()

    def _delay(self) -> float:
        latency = self.plan.latency
        return self.rng.uniform(0.0, latency) if latency else 0.0

    def note(self, what: str) -> None:
        """A line of the trace."""
        self.verdict.trace.append(f"{self.loop.now:10.4f} {what}")

    # -- jobs ----------------------------------------------------------------------------------

    def started(self, job_id: str, attempt: int, key: str) -> Run:
        process = PROCESS.get()
        assert process is not None
        run = Run(job_id, attempt, process, self.loop.now, key=key)
        self.runs.append(run)
        self.note(f"{process.name} starts {job_id[-6:]} attempt {attempt}")
        return run

    def finished(self, run: Run) -> None:
        run.done_at = self.loop.now
        self.note(f"{run.process.name} has done {run.job_id[-6:]} attempt {run.attempt}")

    def again(self, run: Run) -> None:
        """It failed: its retry is on its way."""
        run.again_at = self.loop.now

    # -- processes -----------------------------------------------------------------------------

    def spawn(self, kind: str, *, at_end: str = "again") -> Program:
        """Start a process; one that ends by itself is started again a second later."""
        self._names[kind] += 1
        process = Process(f"{kind}{self._names[kind]}")
        unconfirmed = set() if kind == "scheduler" else self.unconfirmed
        sockets = Sockets(self.broker, self.rng, unconfirmed)
        clock = VirtualClock(self.loop)
        clock.skew = self.clock.skew
        program = Program(kind, process, sockets, Disk(self._delay), clock)
        process.on_fatal = lambda: self.kill(program)
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        main: Callable[[Program], Coroutine[Any, Any, None]] = getattr(self, f"_{kind}")
        program.running = self.loop.create_task(main(program), context=context)
        program.running.add_done_callback(
            lambda task: self._ended(program, task), context=contextvars.copy_context()
        )
        self.programs.append(program)
        self.note(f"{process.name} is started")
        return program

    def _ended(self, program: Program, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        self.note(f"{program.process.name} ended: {error!r}")
        if program in self.programs:
            self.programs.remove(program)
            self._note_end(program, error)
            program.disk.crash()
            program.sockets.crash()
            if not self.over and program.kind not in SENDERS:
                self.loop.call_later(1.0, self._again, program.kind)

    def _note_end(self, program: Program, error: BaseException | None) -> None:
        if program.kind == "worker" and not (self.broker.running and self._has_scheduler()):
            # Nobody took the outcomes of what the broker still holds for it.
            for session in program.sockets.keep_alive:
                held = ((program.process.name, *job) for job in self._held(session))
                self.gave_up.update(held)
        # A sender may give up on its broker; of schedulers another one works.
        expected = RouteqError if program.kind in SENDERS else SchedulerRunning | ConfigurationError
        if error is not None and not isinstance(error, expected):
            self.verdict.crashed.append(f"{program.process.name}: {error!r}")

    def _has_scheduler(self) -> bool:
        schedulers = [one for one in self.programs if one.kind == "scheduler"]
        return any(one.service is not None and one.service.online.is_set() for one in schedulers)

    def _held(self, session: str) -> Iterator[tuple[str, int]]:
        """Jobs that a session holds, each with its attempt."""
        for payload in self.broker.holds(session):
            with contextlib.suppress(UnreadableMessage):  # a question, or a marker
                envelope = Envelope.decode(payload)
                yield str(envelope.id), envelope.attempt

    def _again(self, kind: str) -> None:
        if not self.over:
            self.spawn(kind)

    def kill(self, program: Program) -> None:
        """SIGKILL."""
        if program not in self.programs:
            return
        self.note(f"{program.process.name} is killed")
        program.process.dead = True
        self.programs.remove(program)
        self._hurt(program)
        program.disk.crash()
        program.sockets.crash()

    def _hurt(self, program: Program) -> None:
        self.hurt.setdefault(program.process.name, []).append(self.loop.now)

    def some(self, kind: str) -> Program | None:
        found = [p for p in self.programs if p.kind == kind]
        return self.rng.choice(found) if found else None

    async def _scheduler(self, program: Program) -> None:
        async def open_store(path: DatabasePlace, held: Held | None) -> Store:
            disk = program.disk
            database = await Database.open(
                path, connect=disk.connect, lock_file=disk.lock, held=held, threads=False
            )
            return Store(database)

        program.service = Scheduler(
            program.sockets,
            SchedulerOptions(db=self.db),
            topics=Topics(sharing=self.plan.sharing),
            clock=program.clock,
            open_store=open_store,
        )
        await program.service.run()

    async def _worker(self, program: Program) -> None:
        options = WorkerOptions(
            queues=self.plan.queues,
            concurrency=self.plan.concurrency,
            prefetch=self.plan.prefetch,
            max_deliveries=1_000,
            events=False,
        )
        program.service = Worker(program.sockets, options, clock=program.clock, in_thread=False)
        await program.service.run()

    async def _producer(self, program: Program) -> None:
        """Sends what the plan says from now on; each dispatch is a task of its own."""
        bus = Bus(settings=Settings(timeout=30.0), transport=program.sockets, clock=program.clock)
        await bus.open(60.0)
        sending = [
            asyncio.create_task(self._send(bus, program.clock, number, one))
            for number, one in enumerate(self.plan.sendings)
            if one.at >= self.loop.now
        ]
        await asyncio.gather(*sending)

    async def _send(self, bus: Bus, clock: VirtualClock, number: int, one: Sending) -> None:
        await asyncio.sleep(one.at - self.loop.now)
        job = Work(
            key=str(number), seconds=one.seconds, fails=one.fails, wait=one.wait,
            hopeless=one.hopeless,
        )  # fmt: skip
        due: dict[str, Any] = {"delay": one.delay}
        if one.by_wall:
            due = {"run_at": clock.now() + one.delay}
        confirm: Any = one.confirm
        try:
            sent = await bus.dispatch(job, queue=one.queue, confirm=confirm, **due)
        except RouteqError as error:
            self.note(f"dispatch of job {number} failed: {error!r}")
            return
        self.accepted[sent.id] = (one, self.loop.now)
        self.note(f"accepted {sent.id[-6:]} {one}")

    async def _device(self, program: Program) -> None:
        await self.devices.send(program.sockets)

    # -- faults --------------------------------------------------------------------------------

    async def _do(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        self.note(f"fault: {fault}")
        self.verdict.faults[fault.kind] += 1
        verb, _, victim = fault.kind.partition(" ")
        if victim == "broker":
            await self._broker_down(fault, verb)
        elif verb == "cut":
            self._cut()
        elif fault.kind == STEP:
            self._set_clock(fault)
        else:
            program = self.some(victim)
            if program is not None:
                await getattr(self, f"_do_{verb}")(program, fault)

    async def _do_kill(self, program: Program, fault: Fault) -> None:
        """After so many steps, or a while later."""
        program.process.fatal_step = program.process.steps + fault.steps
        await asyncio.sleep(2.0)
        self.kill(program)
        await asyncio.sleep(fault.lasts)
        if program.kind != "producer" or self.loop.now < CALM - 5.0:
            self._again(program.kind)

    async def _do_lose(self, program: Program, fault: Fault) -> None:
        """It never comes back."""
        self.kill(program)

    async def _do_stop(self, program: Program, fault: Fault) -> None:
        """SIGTERM; it is started again when it has ended."""
        if program.service is not None:
            program.service.stop()

    async def _do_freeze(self, program: Program, fault: Fault) -> None:
        """SIGSTOP; the broker gives it up after 1.5 times its keep-alive, or when it looks next."""
        program.process.stop()
        self._hurt(program)
        looks = self.rng.uniform(0.0, _LOOKS_EVERY)
        timers = [
            self.loop.call_later(1.5 * keep_alive + looks, self.broker.time_out, client)
            for client, keep_alive in program.sockets.keep_alive.items()
        ]
        await asyncio.sleep(fault.lasts)
        for timer in timers:
            timer.cancel()
        self._hurt(program)
        self.note(f"{program.process.name} goes on")
        program.process.call_next(self.loop)

    def _set_clock(self, fault: Fault) -> None:
        """Everybody's, who shares one machine; one process' alone, which has one of its own."""
        victims = self.programs
        if fault.steps:
            self.clock.skew = fault.lasts
        elif victims:
            victims = [self.rng.choice(victims)]
        for program in victims:
            by = abs(program.clock.skew - fault.lasts)
            self.unnoticed += by if by < UNNOTICED else 0.0
            program.clock.skew = fault.lasts

    def _cut(self) -> None:
        clients = self.broker.connected()
        if clients:
            client = self.rng.choice(clients)
            self.note(f"the connection of {client} is cut")
            self.broker.cut(client, up=self.rng.randint(0, 3), down=self.rng.randint(0, 3))

    async def _broker_down(self, fault: Fault, verb: str) -> None:
        if not self.broker.running:
            return
        if verb == "wipe":
            self.devices.wiped()
            self.broker.stop()
            self.wipes.append(self.loop.now + fault.lasts)
            self.saves.append(self.loop.now)
        elif verb == "restart":
            self.broker.stop()
            self.saves.append(self.loop.now)
        else:
            self.broker.kill()
            # What is acknowledged until it runs again was so before: the PUBACK was on its way.
            self.broker_kills.append((self.saves[-1], self.loop.now + fault.lasts))
        await asyncio.sleep(fault.lasts)
        self.broker.start(empty=fault.kind == WIPE)
        self.note("the broker runs again")

    async def _save(self) -> None:
        """mosquitto's autosave."""
        while True:
            await asyncio.sleep(_SAVE_EVERY)
            if self.broker.running:
                self.broker.save()
                self.saves.append(self.loop.now)

    # -- the run -------------------------------------------------------------------------------

    async def run(self) -> Verdict:
        """Live through the plan; then everything works, and every job must end."""
        self.spawn("scheduler")
        for _ in range(self.plan.workers):
            self.spawn("worker")
        self.spawn("producer")
        if self.plan.bursts:
            self.spawn("device")
        saving = asyncio.create_task(self._save())
        await asyncio.gather(*(self._do(fault) for fault in self.plan.faults))
        await asyncio.sleep(max(0.0, CALM - self.loop.now))
        if self.some("scheduler") is None:
            self.spawn("scheduler")
        self.spawn("worker")
        self.note("from now on everything works")
        await self._settle_clocks()
        messages = len(self.plan.sendings) + sum(burst.number for burst in self.plan.bursts)
        # One slot takes them one after the other; each costs some trips through the network.
        deadline = self.loop.now + SETTLED_AFTER + messages * _TRIPS * self.plan.latency
        while self.loop.now < deadline and not self._judge():
            await asyncio.sleep(1.0)
        self.over = True
        saving.cancel()
        self._judge_doubles()
        self.verdict.jobs = len(self.accepted)
        self.verdict.runs = len(self.runs)
        return self.verdict

    async def _settle_clocks(self) -> None:
        """Where nothing else went wrong delays take as long as they say; then all days are over."""
        steps = self.verdict.faults[STEP]
        if steps and steps == self.verdict.faults.total():
            await asyncio.sleep(SETTLED_AFTER)
            first = {run.job_id: run.at for run in reversed(self.runs)}
            for job_id, (one, _) in self.accepted.items():
                began = first.get(job_id, math.inf) - one.at - one.delay
                if not one.by_wall and not -_INSTANT - self.unnoticed < began < _IN_TIME:
                    self.verdict.untimely.append(f"{job_id[-6:]} {began:+.3f} s")
        if steps:
            self._set_clock(Fault(self.loop.now, STEP, 1, _END_OF_DAYS))

    def _judge(self) -> bool:
        """Whether every job has ended."""
        try:
            return self._look_at_the_jobs()
        except sqlite3.OperationalError:
            return False  # the scheduler is just opening it

    def _look_at_the_jobs(self) -> bool:
        ended = {run.job_id for run in self.runs if run.done_at is not None}
        rows: list[str] = []
        devices = self.devices.lost(None)
        if self.db.exists():
            with contextlib.closing(sqlite3.connect(self.db)) as db:
                devices = self.devices.lost(db)
                ended.update(row[0] for row in db.execute("SELECT id FROM failed"))
                rows = [
                    f"{row[0][-6:]} {row[1]} attempt {row[2]}"
                    for row in db.execute("SELECT id, state, attempt FROM jobs WHERE state<>'done'")
                ]
        self.verdict.lost = [
            job_id
            for job_id, (one, at) in self.accepted.items()
            if job_id not in ended and not self._forgotten(job_id, one, at)
        ]
        self.verdict.lost += devices
        self.verdict.stuck = rows
        return not (self.verdict.lost or rows or any(self.some(kind) for kind in SENDERS))

    def _forgotten(self, job_id: str, one: Sending, at: float) -> bool:
        """It, or its retry, was only in the broker's memory when that was killed.

        The price of the default `confirm`; a job that is stored has none.
        """
        runs = [run for run in self.runs if run.job_id == job_id]
        sent = [at, *(run.again_at for run in runs if run.again_at)]
        # The scheduler's row is over with the PUBACK of what it sends to a worker.
        sent += [run.at for run in runs if run.attempt > 1]
        lapses = [*self.broker_kills, *((0.0, back) for back in self.wipes)]
        return one.confirm == "broker" and any(
            saved <= when <= back for when in sent for saved, back in lapses
        )

    # -- duplicates ----------------------------------------------------------------------------

    def _judge_doubles(self) -> None:
        by_job: dict[str, list[Run]] = {}
        for run in self.runs:
            by_job.setdefault(run.job_id, []).append(run)
        for job_id, runs in by_job.items():
            for number, (earlier, later) in enumerate(pairwise(runs), 1):
                same = earlier.done_at is not None or later.attempt <= earlier.attempt
                if same and not self._excused(job_id, runs[:number]):
                    self.verdict.doubled.append(f"{job_id[-6:]} {earlier}, {later}")
        if self.db.exists():
            with contextlib.closing(sqlite3.connect(self.db)) as db:
                self.verdict.doubled += self.devices.doubled(db)

    def _excused(self, job_id: str, before: list[Run]) -> bool:
        """Its worker died or was cut off, or its sender could not know whether it had arrived.

        Or its worker was told to stop, and its broker stayed away until it had to leave. A job
        that is stored has a row, which drops what an earlier worker held; of any other job also a
        worker that handed its retry over and died before the PUBACK leaves a second copy.
        """
        one, _ = self.accepted.get(job_id, (None, 0.0))
        stored = self.devices.is_stored(job_id) or (one is not None and one.confirm == "stored")
        for run in before[-1:] if stored else before:
            if any(at >= run.at for at in self.hurt.get(run.process.name, [])):
                return True
            if (run.process.name, job_id, run.attempt) in self.gave_up:
                return True
        if any(back >= before[-1].at for back in self.wipes):
            return True  # its retry or its outcome was in the memory that is gone
        return (job_id in self.unconfirmed and not stored) or bool(self.broker_kills)


@contextlib.contextmanager
def _reproducible(seed: int, clock: VirtualClock) -> Iterator[None]:
    """Ids and jitter come from the seed."""
    rng = Random(f"ids {seed}")
    module: Any = ids
    saved = (module.os, module.time, module._last)
    machine = (os.getpid, socket.gethostname)  # parts of client identifiers
    state = random.getstate()
    random.seed(seed)
    module.os = SimpleNamespace(urandom=rng.randbytes)
    module.time = SimpleNamespace(time_ns=lambda: int(clock.now() * 1e9))
    os.getpid, socket.gethostname = (lambda: 1), (lambda: "model")
    module._last = 0
    module._fresh.clear()  # else what an earlier run has left over would be in the ids of this one
    try:
        yield
    finally:
        module.os, module.time, module._last = saved
        module._fresh.clear()
        os.getpid, socket.gethostname = machine
        random.setstate(state)


def run_world(seed: int, plan: Plan, folder: Path) -> Verdict:
    """One run, from an empty folder."""
    gc.disable()  # see `VirtualLoop.tasks`
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = World(seed, plan, folder, loop)
    WORLDS.append(world)
    try:
        with _reproducible(seed, world.clock):
            return loop.run_until_complete(world.run())
    finally:
        world.over = True
        WORLDS.pop()
        _tear_down(world)
        gc.enable()


def _tear_down(world: World) -> None:
    """Everybody dies; then every task is let go, so that nothing is left behind."""
    loop = world.loop
    for program in world.programs:
        program.process.dead = True
        program.disk.crash()
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
