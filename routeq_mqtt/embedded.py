"""The embedded broker with our policy: it counts deliveries as the scheduler's reaper does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_broker import Broker, BrokerError
from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.presence.status import WorkerLoad, decode
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["BrokerError", "make_broker"]


class EnvelopePolicy:
    """Tells copies apart by id, attempt and delivery; charges a job that took its worker along.

    Args:
        topics: of the bus.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def identify(self, payload: bytes) -> str | None:
        """One key for one delivery of one attempt."""
        try:
            envelope = Envelope.decode(payload)
        except UnreadableMessage:
            return None
        if envelope.id is None:
            return None
        return f"{envelope.id}/{envelope.attempt}/{envelope.deliveries}"

    def returned(
        self, payload: bytes, client_id: str, retained: Callable[[str], bytes | None]
    ) -> bytes:
        """One delivery more; one attempt and one death more if the lost worker ran it."""
        try:
            envelope = Envelope.decode(payload)
        except UnreadableMessage:
            return payload
        said = retained(self._topics.running(client_id.rpartition("/")[0]))
        load = decode(WorkerLoad, said) if said else None
        died = load is not None and envelope.id in load.running
        return envelope.evolve(
            deliveries=envelope.deliveries + 1,
            attempt=envelope.attempt + died,
            deaths=envelope.deaths + died,
        ).encode()


def make_broker(bind: str, db: Path | None, *, topics: Topics | None = None) -> Broker:
    """The embedded broker of a bus.

    Raises:
        ConfigurationError: `bind` is no address.
    """
    topics = topics or Topics()
    try:
        return Broker(
            bind,
            db=db,
            policy=EnvelopePolicy(topics),
            queue_prefix=topics.intake_prefix,
            status_topic=topics.broker,
        )
    except BrokerError as error:
        raise ConfigurationError(str(error)) from None
