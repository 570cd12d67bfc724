"""The roles of one scheduler: which there are, and which of them speak to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.scheduler.admission import Admission
from routeq_mqtt.scheduler.balancer import Balancer
from routeq_mqtt.scheduler.batches import Batches
from routeq_mqtt.scheduler.calendar import Calendar
from routeq_mqtt.scheduler.census import Census
from routeq_mqtt.scheduler.checkpointer import Checkpointer
from routeq_mqtt.scheduler.control import Control
from routeq_mqtt.scheduler.devices import Devices
from routeq_mqtt.scheduler.expirer import Expirer
from routeq_mqtt.scheduler.feeder import Feeder
from routeq_mqtt.scheduler.intake import Intake
from routeq_mqtt.scheduler.janitor import Janitor
from routeq_mqtt.scheduler.limiter import Limiter
from routeq_mqtt.scheduler.limits import Limits
from routeq_mqtt.scheduler.publisher import Publisher
from routeq_mqtt.scheduler.reaper import Reaper
from routeq_mqtt.scheduler.registrar import Registrar
from routeq_mqtt.scheduler.releaser import Releaser
from routeq_mqtt.scheduler.rollouts import Rollouts
from routeq_mqtt.scheduler.rounds import Rounds
from routeq_mqtt.scheduler.ticker import Ticker
from routeq_mqtt.scheduler.timetable import Timetable
from routeq_mqtt.scheduler.triggers import Triggers

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.options import SchedulerOptions
    from routeq_mqtt.scheduler.presence import Presence
    from routeq_mqtt.transport.seam import Transport


class Roles:
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
        self.publisher = Publisher(context, window=options.feed_window)
        census = Census(context, self.publisher)
        self.reaper = Reaper(context, transport, census, lost_after=options.lost_after)
        self.rounds = Rounds(context, census, self.reaper, presence)
        self.balancer = Balancer(context)
        self._admission = Admission(database, options.guard)
        self._limits = Limits(database)
        self.control = Control(context, transport)
        self.triggers = Triggers(context)
        self.intake = Intake(
            context, self.publisher, self._admission, self.control, census, self.triggers
        )
        self._batches = Batches(context, self.control)
        self._ticker = Ticker(context, Timetable(database), self.intake)
        self.devices = Devices(context)
        self._rollouts = Rollouts(context, self.devices, self._admission)
        asked = (
            self.control, self.triggers, results, self._batches, self._ticker, self.devices,
            self._rollouts,
        )  # fmt: skip
        methods = {name: method for role in asked for name, method in role.methods.items()}
        self.registrar = Registrar(context, presence.status, methods)

    async def load(self) -> None:
        """Read what an earlier scheduler left."""
        await self.publisher.begin()
        await self.triggers.load()
        if self._schedules:
            await self._ticker.announce(self._schedules)
        await self.devices.load()

    def running(self) -> dict[str, Coroutine[None, None, None]]:
        """The loops of those that have one, by name."""
        context, database = self._context, self._context.store.database
        tidiers = (
            self.control.tidy, self._admission.tidy, self._batches.tidy, self._limits.tidy,
            context.results.purge,
        )  # fmt: skip
        return {
            "intake": self.intake.run(),
            "calendar": Calendar(context, database).run(),
            "feeder": Feeder(context, self.publisher).run(),
            "releaser": Releaser(context, self.publisher).run(),
            "ticker": self._ticker.run(),
            "limiter": Limiter(context, self._limits).run(),
            "expirer": Expirer(context).run(),
            "devices": self.devices.run(),
            "rollouts": self._rollouts.run(),
            "reaper": self.reaper.run(),
            "checkpointer": Checkpointer(database).run(),
            "janitor": Janitor(context, *tidiers).run(),
            "rounds": self.rounds.run(),
        }
