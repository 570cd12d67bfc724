"""The roles of one scheduler: which there are, and which of them speak to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.control.failed_records import FailedRecords
from routeq_mqtt.scheduler.control.orders import Control
from routeq_mqtt.scheduler.control.rpc_server import RpcServer
from routeq_mqtt.scheduler.features.admission import Admission
from routeq_mqtt.scheduler.features.batches import Batches
from routeq_mqtt.scheduler.features.devices import Devices
from routeq_mqtt.scheduler.features.limits import Limits
from routeq_mqtt.scheduler.features.rollouts import Rollouts
from routeq_mqtt.scheduler.features.slot_returns import SlotReturns
from routeq_mqtt.scheduler.features.triggers import Triggers
from routeq_mqtt.scheduler.intake.intake import Intake
from routeq_mqtt.scheduler.intake.schedule_table import ScheduleTable
from routeq_mqtt.scheduler.intake.schedules import Schedules
from routeq_mqtt.scheduler.intake.trouble import Trouble
from routeq_mqtt.scheduler.lifecycle.session import proof
from routeq_mqtt.scheduler.observe.observers import Observers
from routeq_mqtt.scheduler.recovery.census import Census
from routeq_mqtt.scheduler.recovery.census_rounds import CensusRounds
from routeq_mqtt.scheduler.recovery.reaper import Reaper
from routeq_mqtt.scheduler.release.balancer import Balancer
from routeq_mqtt.scheduler.release.expirer import Expirer
from routeq_mqtt.scheduler.release.feeder import Feeder
from routeq_mqtt.scheduler.release.limiter import Limiter
from routeq_mqtt.scheduler.release.publisher import Publisher
from routeq_mqtt.scheduler.release.releaser import Releaser
from routeq_mqtt.scheduler.store.given_ids import GivenIds
from routeq_mqtt.scheduler.store.retained import Retained
from routeq_mqtt.scheduler.upkeep.checkpointer import Checkpointer
from routeq_mqtt.scheduler.upkeep.clock_jumps import ClockJumps
from routeq_mqtt.scheduler.upkeep.janitor import Janitor
from routeq_mqtt.topics import SCHEDULER_CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.lifecycle.presence import Presence
    from routeq_mqtt.scheduler.options import SchedulerOptions
    from routeq_mqtt.transport.base import Transport


class Services:
    """Each is made after those that it speaks to.

    Args:
        context: what they share.
        transport: connects in the names of others.
        options: of this scheduler.
        presence: what the bus knows of it.
    """

    def __init__(
        self,
        context: Context,
        transport: Transport,
        options: SchedulerOptions,
        presence: Presence,
    ) -> None:
        database, results = context.store.database, context.results
        self._context = context
        self._schedules = list(options.schedules)
        self.publisher: Publisher = Publisher(context, window=options.feed_window)
        census = Census(context, self.publisher)
        self.reaper: Reaper = Reaper(context, transport, census, lost_after=options.lost_after)
        self.rounds: CensusRounds = CensusRounds(context, census, self.reaper, presence)
        self.balancer: Balancer = Balancer(context)
        self._admission = Admission(database, options.guard)
        self._limits = Limits(database)
        self.control: Control = Control(context, transport)
        self.triggers: Triggers = Triggers(context)
        own = context.topics.session(SCHEDULER_CLIENT_ID)
        self._given = GivenIds(context.store, SCHEDULER_CLIENT_ID, own)
        self.retained: Retained = Retained(database, proof(context.topics))
        self.intake: Intake = Intake(
            context, self.publisher, self._admission, self.control, census, self.triggers,
            Trouble(context, presence), self._given, self.retained,
        )  # fmt: skip
        self._batches = Batches(context, self.control)
        self._slot_returns = SlotReturns(context, self.control)
        self._ticker = Schedules(context, ScheduleTable(database), self.intake)
        self.devices: Devices = Devices(context, self.control)
        self._rollouts = Rollouts(context, self.devices, self._admission)
        records = FailedRecords(context)
        self.observers: Observers = Observers(
            context, records, presence, options.alerts, options.metrics,
            homeassistant=options.homeassistant,
        )  # fmt: skip
        asked = (
            self.control, self.triggers, results, self._batches, self._ticker, self.devices,
            self._rollouts, records, self.observers,
        )  # fmt: skip
        methods = {kind: method for role in asked for kind, method in role.methods.items()}
        self.registrar: RpcServer = RpcServer(
            context, presence.status, methods, self.observers.audit
        )

    async def load(self) -> None:
        """Read what an earlier scheduler left."""
        await self._given.load()
        await self.retained.load()
        await self.publisher.begin()
        await self.triggers.load()
        await self.observers.load()
        if self._schedules:
            await self._ticker.announce(self._schedules)
        await self.devices.load()
        await self._context.sessions.load()

    def running(self) -> dict[str, Coroutine[None, None, None]]:
        """The loops of those that have one, by name."""
        context, database = self._context, self._context.store.database
        tidiers = (
            self.control.tidy, self._admission.tidy, self._batches.tidy, self._limits.tidy,
            context.results.purge, self.observers.audit.tidy,
        )  # fmt: skip
        return {
            "intake": self.intake.run(),
            "given ids": self._given.run(),
            "calendar": ClockJumps(context, database).run(),
            "feeder": Feeder(context, self.publisher).run(),
            "releaser": Releaser(context, self.publisher).run(),
            "ticker": self._ticker.run(),
            "limiter": Limiter(context, self._limits).run(),
            "slot returns": self._slot_returns.run(),
            "expirer": Expirer(context).run(),
            "devices": self.devices.run(),
            "sessions": context.sessions.run(),
            "rollouts": self._rollouts.run(),
            "reaper": self.reaper.run(),
            "checkpointer": Checkpointer(database).run(),
            "janitor": Janitor(context, *tidiers).run(),
            "rounds": self.rounds.run(),
            **self.observers.running(),
        }
