"""The schedulers that wait to take over, as their retained statuses say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.presence.reports import Reports
from routeq_mqtt.presence.status import SILENT_AFTER
from routeq_mqtt.wire.observe.standby import StandbyStatus

if TYPE_CHECKING:
    from routeq_mqtt.topics import Topics

_MOST = 1_000
"""That are remembered: a client that may write there could name any number."""


class Standbys:
    """Folds the statuses of standbys.

    Args:
        topics: of the bus.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._reports = Reports(topics.standby(""), StandbyStatus.decode, most=_MOST)
        self._heard_at: dict[str, float] = {}

    def filters(self) -> list[str]:
        """What to subscribe to."""
        return [self._topics.standby("+")]

    def fold(self, topic: str, payload: bytes, *, now: float) -> bool:
        """Take a message in; whether it was for this.

        Args:
            topic: of the message.
            payload: of the message.
            now: by the monotonic clock.
        """
        instance = self._reports.fold(topic, payload)
        if instance in self._reports.latest:
            self._heard_at[instance] = now
        return instance is not None

    def waiting(self) -> list[StandbyStatus]:
        """Those that wait, first come first."""
        return sorted(self._reports.latest.values(), key=_age)

    def drop_silent(self, now: float) -> list[str]:
        """Forget those whose Last Will was lost with a broker; their topics."""
        known = self._reports.latest
        silent = [one for one in known if now - self._heard_at[one] > SILENT_AFTER]
        for instance in silent:
            del known[instance]
        self._heard_at = {one: at for one, at in self._heard_at.items() if one in known}
        return [self._topics.standby(instance) for instance in silent]


def _age(status: StandbyStatus) -> tuple[float, str]:
    return status.started_at, status.instance
