"""What `doctor` checks, in order. Each check is a function and says one thing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.features.standbys import find_standbys
from routeq_mqtt.doctor import broker
from routeq_mqtt.doctor.buses import other_buses
from routeq_mqtt.doctor.listeners import listeners
from routeq_mqtt.doctor.patient import WAIT, Patient
from routeq_mqtt.doctor.report import Check
from routeq_mqtt.errors import ConnectionFailed, NoScheduler, PublishRefused, RequestFailed
from routeq_mqtt.presence.status import HEARTBEAT, SILENT_AFTER, TAKEN_OVER
from routeq_mqtt.wire.messages.requests import Ping

if TYPE_CHECKING:
    from routeq_mqtt.settings.settings import Settings

__all__ = ["Check", "examine"]

_SKEW = 2.0
"""Seconds by which clocks may differ before it is worth a word."""

_SHORT_SECRET = 16


async def examine(settings: Settings) -> list[Check]:
    """Make all checks at the first address that answers; where none does, say so of each."""
    failed: list[Check] = []
    for one in settings.each():
        bus = Bus(settings=one)
        try:
            await bus.open()
        except ConnectionFailed as error:
            await bus.close()
            what, _, fix = str(error).rpartition("; ")
            failed.append(Check("connection", "failed", what or str(error), fix if what else ""))
            continue
        async with bus:
            found = await _all_checks(Patient(bus, one))
        passed_over = [replace(check, name="address", verdict="warning") for check in failed]
        return [*found, *passed_over]
    return failed


async def _all_checks(patient: Patient) -> list[Check]:
    checks = [
        broker.connection(patient),
        broker.encryption(patient),
        broker.delivery(patient),
        *broker.limits(patient),
        *keys(patient.settings),
    ]
    for check in _IN_ORDER:
        checks += await _made(check, patient)
    return checks


async def _made(check: _Checking, patient: Patient) -> list[Check]:
    try:
        found = await check(patient)
    except (ConnectionFailed, PublishRefused, RequestFailed) as error:
        name = check.__name__.replace("_", " ")
        return [Check(name, "failed", f"the check could not be made: {error}")]
    return found if isinstance(found, list) else [found]


def keys(settings: Settings) -> list[Check]:
    """Whether the signing keys are worth it; says nothing of what they are."""
    if not settings.signing_keys:
        return []
    parts = [part.strip().partition(":") for part in settings.signing_keys.split(",")]
    short = [name for name, _, secret in parts if len(secret) < _SHORT_SECRET]
    names = ", ".join(name for name, _, _ in parts)
    if not short:
        return [Check("signing keys", "ok", names)]
    fix = "make longer ones: openssl rand -hex 32"
    return [Check("signing keys", "warning", f"{', '.join(short)} can be guessed", fix)]


async def scheduler(patient: Patient) -> list[Check]:
    """Who is scheduler, whether it answers, and what its clock says."""
    status = patient.bus.sender.surroundings.scheduler
    needed = not patient.bus.sender.surroundings.shares_queue
    if status is None:
        return [
            Check(
                "scheduler",
                "failed" if needed else "warning",
                "none has ever run on this bus",
                "start one: routeq-mqtt scheduler",
            )
        ]
    where = f"{status.state} on {status.host} pid={status.pid} db={status.db}"
    if status.trouble.startswith(TAKEN_OVER):
        return [Check("scheduler", "failed", f"{where}; it {status.trouble}", _FIND_IT)]
    before = time.time()
    try:
        answer = await patient.bus.requests.ask(Ping(), timeout=WAIT)
    except NoScheduler:
        return [Check("scheduler", "failed", f"{where}; it does not answer", "start it again")]
    middle = (before + time.time()) / 2
    ahead = 0.0 if answer.now is None else answer.now - middle
    clock = _clock("the scheduler's clock", ahead)
    trouble = patient.bus.sender.surroundings.trouble
    unowned = _unowned(answer.unowned)
    if trouble:
        fix = "make room on its disk, or see what is wrong with its database"
        return [Check("scheduler", "failed", f"{where}; it {trouble}", fix), clock, *unowned]
    return [Check("scheduler", "ok", where), clock, *unowned]


async def standbys(patient: Patient) -> list[Check]:
    """Which schedulers wait to take over; a bus without one is not wrong."""
    found = await find_standbys(patient.bus.sender)
    if not found:
        return []
    named = ", ".join(f"{one.host} pid={one.pid} db={one.db}" for one in found[:20])
    return [Check("standbys", "ok", f"{len(found)} wait to take over: {named}")]


_FIND_IT = (
    "what that client receives is lost: find it by this identifier in the broker's log, stop it, "
    "and change the password that it used (docs/security.md)"
)


def _unowned(sessions: list[str]) -> list[Check]:
    """Members of a group that no worker owns: the broker gives them jobs."""
    if not sessions:
        return []
    named = ", ".join(sessions[:20])
    return [
        Check(
            "sessions",
            "warning",
            f"{len(sessions)} get jobs, and their worker has no status: {named}",
            f"the scheduler adopts them within {SILENT_AFTER:.0f} s, unless the worker is alive "
            "and publishes its status again (routeq/workers/<id>: did somebody clear it?)",
        )
    ]


def _clock(name: str, ahead: float) -> Check:
    if abs(ahead) <= _SKEW:
        return Check(name, "ok", f"{abs(ahead):.1f} s from ours")
    way = "ahead of" if ahead > 0 else "behind"
    return Check(
        name,
        "warning",
        f"{abs(ahead):.0f} s {way} ours: run_at and expires_at mean different times",
        "synchronize the clocks (systemd-timesyncd, chrony)",
    )


async def workers(patient: Patient) -> list[Check]:
    """Who works, and whether their clocks agree with ours."""
    await patient.bus.sizes.refresh()
    fleet = patient.bus.sizes.fleet
    online = fleet.online()
    if not online:
        return [Check("workers", "warning", "none is online", "start one: routeq-mqtt worker")]
    queues = ", ".join(sorted(fleet.queues()))
    checks = [Check("workers", "ok", f"{len(online)} online for {queues}")]
    names = Counter(status.name for status in online if status.name is not None)
    shared = sorted(name for name, number in names.items() if number > 1)
    if shared:
        found = f"several workers have one name: {', '.join(shared[:20])}"
        checks.append(Check("names", "warning", found, "give each a --name of its own"))
    now = time.time()
    for status in online:
        # Retained, so it may be a heartbeat old; only what is newer than now, or far too old.
        ahead = status.at - now
        if ahead > _SKEW or ahead < -(2 * HEARTBEAT + _SKEW):
            checks.append(_clock(f"the clock of {status.id}", ahead))
    return checks


async def homes(patient: Patient) -> Check:
    """Queues with jobs and no worker."""
    sizes = await patient.bus.sizes.all()
    served = patient.bus.sizes.fleet.queues()
    lonely = {n: s.parked for n, s in sizes.items() if s.parked and n not in served}
    if not lonely and not patient.bus.sizes.is_counted:
        return Check(
            "queues",
            "warning",
            "jobs that wait without a worker are not counted",
            "start a scheduler: routeq-mqtt scheduler",
        )
    if not lonely:
        return Check("queues", "ok", "every queue that has jobs has a worker")
    named = ", ".join(f"{name} ({parked})" for name, parked in sorted(lonely.items())[:20])
    return Check(
        "queues",
        "warning",
        f"jobs wait where no worker is online: {named}",
        f"start one: routeq-mqtt worker --queue {min(lonely)}",
    )


_Checking = Callable[[Patient], Awaitable["Check | list[Check]"]]
_IN_ORDER: tuple[_Checking, ...] = (
    scheduler,
    standbys,
    workers,
    homes,
    broker.strangers,
    listeners,
    broker.shared,
    broker.way,
    broker.queue_path,
    broker.receive_maximum,
    broker.session_expiry,
    broker.persistence,
    other_buses,
)
