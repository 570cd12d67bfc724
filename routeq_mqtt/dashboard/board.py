"""What every request of one dashboard shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.errors import NoScheduler

if TYPE_CHECKING:
    from starlette.requests import Request

    from routeq_mqtt.bus.bus import Bus
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.dashboard.audit import Audit
    from routeq_mqtt.dashboard.doctor import Doctor
    from routeq_mqtt.dashboard.live.state import State
    from routeq_mqtt.dashboard.live.streams import Streams
    from routeq_mqtt.dashboard.options import Options, User
    from routeq_mqtt.dashboard.redaction import Redactor


@dataclass(frozen=True, slots=True)
class Board:
    """The parts of one dashboard."""

    bus: Bus
    clock: Clock
    options: Options
    redactor: Redactor
    audit: Audit
    state: State
    streams: Streams
    doctor: Doctor


def need_scheduler(bus: Bus) -> None:
    """Refuse at once what only a scheduler could answer, where it is known to be away.

    Raises:
        NoScheduler: it is.
    """
    known = bus.sender.surroundings.scheduler
    if known is not None and known.state != "online":
        raise NoScheduler(
            f"the scheduler is away ({known.state}); start one: routeq-mqtt scheduler"
        )


def board_of(request: Request) -> Board:
    """The dashboard that a request came to."""
    board: Board = request.app.state.board
    return board


def user_of(request: Request) -> User:
    """Who sent a request."""
    user: User = request.state.user
    return user
