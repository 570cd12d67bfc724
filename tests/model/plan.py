"""What a seed says: how the world is, which jobs are sent, and what goes wrong when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random

from routeq_mqtt.topics import Sharing

FAULTS = {
    "kill worker": 6,
    "kill scheduler": 6,
    "kill producer": 2,
    "stop worker": 2,
    "stop scheduler": 1,
    "lose worker": 2,
    "freeze worker": 2,
    "freeze scheduler": 1,
    "cut": 6,
    "restart broker": 2,
    "kill broker": 2,
}
"""Each fault with its weight."""

STEP = "step clock"
"""The wall clock of every process, or of one, is set to `lasts` seconds from the truth."""

BOOT = -1_700_000_000.0
"""A machine without a battery clock: it is 1970."""

WIPE = "wipe broker"
"""It ends politely and comes back without its memory, as one without persistence does."""

DEVICES = 0.4
"""How many plans have devices."""

CALM = 35.0
"""Seconds until nothing more goes wrong."""


@dataclass(frozen=True)
class Sending:
    """One dispatch."""

    at: float
    queue: str
    confirm: str
    delay: float
    seconds: float
    fails: int
    wait: float
    hopeless: bool
    by_wall: bool = False
    """Its delay is said as a time of the day."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong; `steps`: callbacks of the victim until it dies."""

    at: float
    kind: str
    steps: int
    lasts: float


@dataclass(frozen=True)
class Burst:
    """Messages of a device, alike to the byte and without an id.

    `group` tells one kind from another: where it goes, and what is in it. `by_hand`: to the
    workers' own topic, past the scheduler.
    """

    at: float
    group: int
    number: int
    queue: str
    by_hand: bool = False
    readable: bool = True
    delay: float = 0.0
    seconds: float = 0.0
    fails: int = 0

    @property
    def key(self) -> str:
        return f"device-{self.group}"

    def payload(self) -> bytes:
        if not self.readable:
            return b"\xc1" + self.key.encode()
        data = {"key": self.key, "seconds": self.seconds, "fails": self.fails}
        said = {"job": "model.Work", "data": data}
        return json.dumps(said | ({"delay": self.delay} if self.delay else {})).encode()


@dataclass(frozen=True)
class Plan:
    """What one seed decides: the world, the jobs and the faults."""

    mqtt5: bool
    reports_no_subscribers: bool
    latency: float
    queues: tuple[str, ...]
    workers: int
    concurrency: int
    prefetch: int
    sendings: list[Sending] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    bursts: list[Burst] = field(default_factory=list)
    packet_ids: int = 0xFFFF
    sharing: Sharing = "auto"


def make_plan(seed: int, *, still: bool = False, sharing: Sharing = "auto") -> Plan:
    """The plan of a seed; `still`: the wall clock is never set, and there are no devices."""
    plan = replace(_plan(seed), sharing=sharing)
    if still:
        return plan
    rng = Random(f"clock {seed}")
    if rng.random() < 0.4:
        plan = _set_clocks(rng, plan)
    rng = Random(f"devices {seed}")
    return _add_devices(rng, plan) if rng.random() < DEVICES else plan


def _add_devices(rng: Random, plan: Plan) -> Plan:
    """Devices send, packet ids come again soon, and the broker may lose its memory.

    Most of it happens while the scheduler is about to die: what is on its way then comes again.
    """
    faults = list(plan.faults)
    if rng.random() < 0.4:
        lasts = rng.choice([0.05, 1.0, 8.0])
        faults.append(Fault(rng.uniform(2.0, CALM - 15.0), WIPE, 0, lasts))
    deaths = [rng.uniform(0.5, CALM - 3.0) for _ in range(rng.randint(0, 4))]
    for at in deaths:
        kind = rng.choice(["kill scheduler", "kill scheduler", "freeze scheduler", "cut"])
        faults.append(Fault(at, kind, rng.randint(1, 400), rng.choice([0.05, 0.5, 3.0])))
    faults.sort(key=lambda fault: fault.at)
    bursts = []
    for group in range(rng.randint(1, 2)):
        one = _burst(rng, group, plan.queues)
        for _ in range(rng.randint(2, 6)):
            at = rng.choice([*deaths, rng.uniform(0.5, CALM - 3.0)]) + rng.uniform(-0.1, 0.1)
            bursts.append(replace(one, at=at, number=rng.choice([1, 4, 12, 40])))
    bursts.sort(key=lambda burst: burst.at)
    packet_ids = rng.choice([0xFFFF, 1_000, 300, 150])
    return replace(plan, bursts=bursts, faults=faults, packet_ids=packet_ids)


def _burst(rng: Random, group: int, queues: tuple[str, ...]) -> Burst:
    return Burst(
        at=0.0,
        group=group,
        number=0,
        queue=rng.choice(queues),
        by_hand=rng.random() < 0.15,
        readable=rng.random() < 0.8,
        delay=rng.choice([0.0, 0.0, 0.0, 2.0]),
        seconds=rng.choice([0.0, 0.0, 0.01, 0.1]),
        fails=rng.choice([0, 0, 1]),
    )


def _set_clocks(rng: Random, plan: Plan) -> Plan:
    """The clock is set now and then; in some runs nothing else goes wrong."""
    steps = []
    for _ in range(rng.randint(1, 4)):
        ahead = rng.choice([BOOT, 0.0, rng.uniform(-5.0, 5.0), rng.uniform(-7e3, 7e3), 2e6])
        steps.append(Fault(rng.uniform(0.0, CALM - 5.0), STEP, rng.randint(0, 2), ahead))
    others = [] if rng.random() < 0.3 else plan.faults
    sendings = [
        replace(one, by_wall=one.delay > 0.0 and rng.random() < 0.4) for one in plan.sendings
    ]
    faults = sorted([*others, *steps], key=lambda fault: fault.at)
    return replace(plan, sendings=sendings, faults=faults)


def _plan(seed: int) -> Plan:
    rng = Random(seed)
    mqtt5 = rng.random() < 0.7
    queues = ("a", "b")[: rng.randint(1, 2)]
    plan = Plan(
        mqtt5=mqtt5,
        reports_no_subscribers=mqtt5 and rng.random() < 0.85,
        latency=rng.choice([0.0, 0.001, 0.005, 0.05]),
        queues=queues,
        workers=rng.randint(1, 3),
        concurrency=rng.randint(1, 3),
        prefetch=rng.randint(0, 4),
    )
    plan.sendings.extend(_sending(rng, queues) for _ in range(rng.randint(3, 20)))
    plan.sendings.sort(key=lambda sending: sending.at)
    kinds, weights = list(FAULTS), list(FAULTS.values())
    for _ in range(rng.randint(1, 6)):
        [kind] = rng.choices(kinds, weights)
        at = rng.uniform(0.5, CALM - 5.0)
        lasts = rng.choice([0.05, 0.5, 2.0, rng.uniform(0.0, 14.0)])
        plan.faults.append(Fault(at, kind, rng.randint(1, 300), lasts))
    plan.faults.sort(key=lambda fault: fault.at)
    return plan


def _sending(rng: Random, queues: tuple[str, ...]) -> Sending:
    slow = rng.random() < 0.4
    return Sending(
        at=rng.choice([rng.uniform(0.0, 3.0), rng.uniform(0.0, CALM - 5.0)]),
        queue=rng.choice(queues),
        confirm=rng.choice(["broker", "broker", "stored"]),
        delay=rng.choice([0.0, 0.0, 0.0, rng.uniform(0.1, 10.0)]),
        seconds=rng.uniform(0.1, 6.0) if slow else rng.choice([0.0, 0.01]),
        fails=rng.choice([0, 0, 0, 1, 2]),
        wait=rng.choice([0.0, 0.0, 1.0]),
        hopeless=rng.random() < 0.1,
    )
