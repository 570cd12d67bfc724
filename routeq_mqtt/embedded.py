"""The embedded broker with our policy: it counts deliveries as the scheduler's reaper does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_broker import Acl, Broker, BrokerError, Doorkeeper, Users, tls_context
from routeq_mqtt.errors import ConfigurationError, UnreadableMessage
from routeq_mqtt.presence.status import WorkerLoad, decode
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.envelope import Envelope

if TYPE_CHECKING:
    import ssl
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
        # Not a later attempt, that the scheduler has charged for this death already.
        ran = 0 if load is None or envelope.id is None else load.running.get(envelope.id, 0)
        died = ran >= envelope.attempt
        return envelope.evolve(
            deliveries=envelope.deliveries + 1,
            attempt=envelope.attempt + died,
            deaths=envelope.deaths + died,
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may come in, and what each may do; by default everybody and everything.

    Attributes:
        tls_cert, tls_key: PEM files of the broker; the key may be in the certificate's file.
        client_ca: clients must show a certificate of this authority; its common name is the user.
        users: files as mosquitto_passwd makes them.
        acl: files as mosquitto's acl_file.
    """

    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    users: tuple[Path, ...] = ()
    acl: tuple[Path, ...] = ()

    def doorkeeper(self) -> Doorkeeper:
        """Who decides at CONNECT; a certificate is enough where there are no users."""
        users = Users.read(*self.users) if self.users else None
        anonymous = users is None and self.client_ca is None
        return Doorkeeper(users, Acl.read(*self.acl) if self.acl else None, anonymous=anonymous)

    def tls(self) -> ssl.SSLContext | None:
        """The encryption, if any.

        Raises:
            ConfigurationError: clients are asked for certificates by a broker that has none.
        """
        if self.tls_cert is None:
            if self.tls_key is not None or self.client_ca is not None:
                raise ConfigurationError("--tls-key and --client-ca need --tls-cert")
            return None
        return tls_context(self.tls_cert, self.tls_key, self.client_ca)


class EmbeddedBroker(Broker):
    """The broker, whose errors are those of this library."""

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address is in use, or the database cannot be used.
        """
        try:
            await super().start()
        except BrokerError as error:
            raise ConfigurationError(str(error)) from None


def make_broker(
    bind: str, db: Path | None, *, topics: Topics | None = None, access: Access | None = None
) -> Broker:
    """The embedded broker of a bus.

    Raises:
        ConfigurationError: `bind` is no address, or a file of `access` cannot be used.
    """
    topics = topics or Topics()
    access = access or Access()
    try:
        return EmbeddedBroker(
            bind,
            db=db,
            policy=EnvelopePolicy(topics),
            queue_prefix=topics.intake_prefix,
            status_topic=topics.broker,
            doorkeeper=access.doorkeeper(),
            tls=access.tls(),
        )
    except BrokerError as error:
        raise ConfigurationError(str(error)) from None
