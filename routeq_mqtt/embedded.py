"""The embedded broker with our policy: it counts deliveries as the scheduler's reaper does."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeq_broker import (
    Acl,
    Broker,
    BrokerError,
    Doorkeeper,
    Limits,
    Users,
    load_certificates,
    tls_context,
)
from routeq_mqtt.errors import ConfigurationError, PackingError, UnreadableMessage
from routeq_mqtt.presence.status import WorkerLoad
from routeq_mqtt.topics import Topics, check_namespace
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.rows import row_key
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.messages.census import BROKER_SESSION, CensusAnswer, CensusQuestion
from routeq_mqtt.wire.messages.complaints import Complaints

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

__all__ = ["BrokerError", "make_broker"]

log: logging.Logger = logging.getLogger(__name__)

_ROW = "row:"
"""Begins the keys of messages that are rows of the scheduler."""


class EnvelopePolicy:
    """Tells copies apart by id, attempt and delivery; charges a job that took its worker along.

    Args:
        topics: of the bus.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._complaints = Complaints(log)

    def taken_in(self, payload: bytes) -> tuple[bytes, str | None]:
        """One key for one delivery of one attempt; a message without an id is given its id here.

        What is unreadable stays as it is, without a key.
        """
        try:
            envelope = Envelope.decode(payload)
            if envelope.id is None:
                envelope = envelope.evolve(id=new_id())
                payload = envelope.encode()
        except (UnreadableMessage, PackingError):
            return payload, None
        delivery = f"{envelope.attempt}/{envelope.deliveries}"
        # Its row's token, or all that it says: others may send other things under its id.
        said = payload if envelope.row is None else envelope.row.encode()
        proof = hashlib.blake2b(said, digest_size=16).hexdigest()
        if envelope.stored:
            return payload, f"{_ROW}{row_key(envelope, str(envelope.id))}/{delivery}/{proof}"
        return payload, f"{envelope.id}/{delivery}/{proof}"

    def answer(self, question: bytes, keys: Collection[str]) -> tuple[str, bytes] | None:
        """Which of the jobs that the scheduler asks for are here, whatever attempt of them."""
        try:
            asked = CensusQuestion.decode(question)
        except UnreadableMessage as error:
            self._complaints.note(self._topics.broker_census, error)
            return None
        here = {key[len(_ROW) :].rsplit("/", 3)[0] for key in keys if key.startswith(_ROW)}
        held = [job_id for job_id in asked.jobs if job_id in here]
        answer = CensusAnswer(census=asked.census, session=BROKER_SESSION, held=held, done=[])
        return self._topics.rpc("census"), answer.encode()

    def returned(
        self, payload: bytes, client_id: str, retained: Callable[[str], bytes | None]
    ) -> bytes:
        """One delivery more; one attempt and one death more if the lost worker ran it."""
        try:
            envelope = Envelope.decode(payload)
        except UnreadableMessage:
            return payload
        said = retained(self._topics.running(client_id.rpartition("/")[0]))
        # Not a later attempt, that the scheduler has charged for this death already.
        key = row_key(envelope, envelope.id or "")
        ran = _running(said or b"").get(key, 0) if envelope.id is not None else 0
        died = ran >= envelope.attempt
        return envelope.evolve(
            deliveries=envelope.deliveries + 1,
            attempt=envelope.attempt + died,
            deaths=envelope.deaths + died,
        ).encode()


def _running(said: bytes) -> dict[str, int]:
    """The jobs that a worker ran, each with its attempt; none where its report is unreadable."""
    try:
        return WorkerLoad.decode(said).running
    except UnreadableMessage:
        return {}


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

    def reload(self, broker: Broker, context: ssl.SSLContext | None) -> None:
        """Read all files again.

        Raises:
            AccessFileBroken: one cannot be used; then nothing has changed.
        """
        users = Users.read(*self.users) if self.users else None
        acl = Acl.read(*self.acl) if self.acl else None
        if context is not None and self.tls_cert is not None:
            load_certificates(context, self.tls_cert, self.tls_key, self.client_ca)
        broker.reload(users, acl, anonymous=users is None and self.client_ca is None)

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
    """The broker, whose errors are those of this library.

    Args:
        access: files that are read again by `reload_access`.
        tls: the encryption that was made of them.
        **options: of `Broker`.
    """

    def __init__(self, access: Access, tls: ssl.SSLContext | None, **options: Any) -> None:  # noqa: ANN401 - typed there
        super().__init__(tls=tls, doorkeeper=access.doorkeeper(), **options)
        self._access = access
        self._context = tls

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address is in use, or the database cannot be used.
        """
        try:
            await super().start()
        except BrokerError as error:
            raise ConfigurationError(str(error)) from None

    def reload_access(self) -> None:
        """Read users, rules and certificates again; what cannot be read changes nothing."""
        try:
            self._access.reload(self, self._context)
        except BrokerError as error:
            log.error("nothing is changed: %s", error)
        else:
            log.info("users, access rules and certificates are read again")


def make_broker(
    bind: str | Sequence[str],
    db: Path | None,
    *,
    topics: Topics | None = None,
    namespaces: Sequence[str] = (),
    access: Access | None = None,
    ws_bind: Sequence[str] = (),
    ws_origins: Sequence[str] = (),
    limits: Mapping[str, str] | None = None,
) -> EmbeddedBroker:
    """The embedded broker of one bus or several.

    Args:
        bind: where to listen, see `Broker`.
        db: SQLite file; None: in memory only.
        topics: of the bus without a namespace.
        namespaces: of the buses that it serves beside that one.
        access: who may come in.
        ws_bind: where to listen for websockets.
        ws_origins: web pages that may connect there.
        limits: names and values of `Limits`, as text.

    Raises:
        ConfigurationError: `bind` is not an address, a limit or a namespace makes no sense, or a
            file of `access` cannot be used.
    """
    topics = topics or Topics()
    access = access or Access()
    try:
        return EmbeddedBroker(
            access,
            access.tls(),
            bind=bind,
            ws_bind=ws_bind,
            ws_origins=ws_origins,
            db=db,
            policy=EnvelopePolicy(topics),
            limits=_limits(limits or {}),
            queue_prefix=topics.intake_prefix,
            status_topic=topics.broker,
            # What these bring is a job, too: none is acknowledged that the scheduler cannot get.
            guaranteed=(topics.schedule, topics.store("+")),
            namespaces=[check_namespace(one, "--namespace") for one in namespaces if one],
        )
    except BrokerError as error:
        raise ConfigurationError(str(error)) from None


def _limits(texts: Mapping[str, str]) -> Limits:
    try:
        return Limits.parse(texts)
    except ValueError as error:
        raise ConfigurationError(f"--limit {error}") from None
