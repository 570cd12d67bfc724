"""CONNECT: who comes, which session that is, and what the CONNACK says."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from routeq_broker.errors import NotAdmitted
from routeq_broker.protocol import connect, properties, reasons
from routeq_broker.text import shown

if TYPE_CHECKING:
    from routeq_broker.access.acl import Rights
    from routeq_broker.access.doorkeeper import Doorkeeper
    from routeq_broker.access.logins import Logins
    from routeq_broker.clients.clients import Clients
    from routeq_broker.network.connection import Connection
    from routeq_broker.protocol.connect import Connect
    from routeq_broker.routing.context import Context
    from routeq_broker.routing.session import Session

log = logging.getLogger(__name__)


class Login:
    """Handles CONNECT: authentication, session and CONNACK.

    Args:
        clients: who come and go.
        context: limits and counters.
        doorkeeper: who may come in, and what each may do.
        logins: checks passwords.
    """

    def __init__(
        self, clients: Clients, context: Context, doorkeeper: Doorkeeper, logins: Logins
    ) -> None:
        self._clients = clients
        self._context = context
        self._doorkeeper = doorkeeper
        self._logins = logins
        self._checks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Give up the logins that are being checked."""
        for check in self._checks:
            check.cancel()
        self._logins.close()

    def connect(self, connection: Connection, first: int, body: bytes) -> None:
        """The first packet of a connection.

        Raises:
            ProtocolError: it is malformed.
        """
        try:
            wanted = connect.read(first, body)
        except connect.UnsupportedVersion as error:
            self._refuse(connection, "?", str(error), error.code, mqtt5=error.mqtt5)
            return
        connection.mqtt5 = wanted.mqtt5
        connection.largest_out = wanted.properties.numbers.get(properties.MAXIMUM_PACKET_SIZE)
        try:
            self._check_first(connection, wanted)
        except NotAdmitted as error:
            self._refuse(connection, wanted.client_id, str(error), error.code)
            return
        if self._doorkeeper.must_check(wanted.user, wanted.password):
            connection.hold()
            task = asyncio.create_task(self._check(connection, wanted), name="broker-login")
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)
        else:
            self._admit(connection, wanted)

    def _check_first(self, connection: Connection, wanted: Connect) -> None:
        """Reasons to refuse any client, whatever its user."""
        if connection.refused is not None:
            raise NotAdmitted("there are too many connections", connection.refused)
        if properties.AUTHENTICATION_METHOD in wanted.properties.texts:
            code = reasons.BAD_AUTHENTICATION_METHOD
            raise NotAdmitted("extended authentication is not supported", code)
        if not (wanted.client_id or wanted.mqtt5 or wanted.clean):
            code = reasons.CLIENT_IDENTIFIER_NOT_VALID  # MQTT 3.1.1 [MQTT-3.1.3-8]
            raise NotAdmitted("no client identifier for a session that is to be kept", code)

    async def _check(self, connection: Connection, wanted: Connect) -> None:
        """The password takes a while: other packets of the connection wait."""
        try:
            await self._logins.check(connection.address, lambda: self._user(connection, wanted))
        except NotAdmitted as error:
            self._refuse(connection, wanted.client_id, str(error), error.code)
        except Exception:
            log.exception("peer=%s login failed", connection.peer)
            self._refuse(connection, wanted.client_id, "error", reasons.UNSPECIFIED_ERROR)
        else:
            if not connection.closed:
                self._admit(connection, wanted)
                connection.proceed()

    def _user(self, connection: Connection, wanted: Connect) -> str | None:
        return self._doorkeeper.admit(wanted.user, wanted.password, connection.certified)

    def _admit(self, connection: Connection, wanted: Connect) -> None:
        client_id = wanted.client_id or f"auto-{uuid.uuid4().hex}"
        try:
            user = self._user(connection, wanted)
            rights = self._rights(user, client_id, wanted)
            session, present = self._clients.arrived(
                connection, client_id, wanted, user=user, rights=rights
            )
        except NotAdmitted as error:
            self._refuse(connection, client_id, str(error), error.code)
            return
        limits = self._context.limits
        asked = wanted.properties
        receive_maximum = asked.number(properties.RECEIVE_MAXIMUM, 65_535)
        connection.inflight = min(limits.inflight, receive_maximum)
        alias_maximum = asked.number(properties.TOPIC_ALIAS_MAXIMUM, 0)
        connection.alias_maximum = min(limits.topic_aliases, alias_maximum)
        keep_alive = self._keep_alive(wanted)
        encoded = self._properties(wanted, session, client_id, keep_alive)
        connection.send(
            connect.connack(
                reasons.SUCCESS, mqtt5=wanted.mqtt5, session_present=present, encoded=encoded
            )
        )
        connection.session = session  # from here on a DISCONNECT may be sent [MQTT-3.14.0-1]
        if not connection.closed:
            connection.keep_alive(keep_alive)
            self._clients.resume(session)

    def _rights(self, user: str | None, client_id: str, wanted: Connect) -> Rights | None:
        rights = self._doorkeeper.rights(user, client_id)
        if not self._doorkeeper.may_be(client_id, rights):
            raise NotAdmitted(f"user={user!r} may not use this identifier", reasons.NOT_AUTHORIZED)
        will = wanted.will
        if will is not None and not _may_write(rights, will.topic):
            raise NotAdmitted(
                f"user={user!r} may not write its Last Will to {shown(will.topic)}",
                reasons.NOT_AUTHORIZED,
            )
        return rights

    def _keep_alive(self, wanted: Connect) -> int:
        longest = self._context.limits.keep_alive
        if not (longest and wanted.mqtt5):
            return wanted.keep_alive
        return min(wanted.keep_alive or longest, longest)

    def _properties(
        self, wanted: Connect, session: Session, client_id: str, keep_alive: int
    ) -> list[bytes]:
        """What we grant (MQTT 5, 3.2.2.3)."""
        limits, number = self._context.limits, properties.number
        granted = [
            number(properties.RECEIVE_MAXIMUM, limits.inflight),
            number(properties.MAXIMUM_PACKET_SIZE, limits.packet_size),
            number(properties.TOPIC_ALIAS_MAXIMUM, limits.topic_aliases),
            number(properties.RETAIN_AVAILABLE, 1),
            number(properties.WILDCARDS_AVAILABLE, 1),
            number(properties.SUBSCRIPTION_IDS_AVAILABLE, 1),
            number(properties.SHARED_AVAILABLE, 1),
        ]
        if session.expiry != wanted.session_expiry:
            granted.append(number(properties.SESSION_EXPIRY, session.expiry))
        if client_id != wanted.client_id:
            granted.append(properties.text(properties.ASSIGNED_CLIENT_ID, client_id))
        if keep_alive != wanted.keep_alive:
            granted.append(number(properties.SERVER_KEEP_ALIVE, keep_alive))
        return granted

    def _refuse(
        self,
        connection: Connection,
        client_id: str,
        why: str,
        code: int,
        *,
        mqtt5: bool | None = None,
    ) -> None:
        self._context.counters.refused += 1
        log.warning("client=%s peer=%s refused: %s", shown(client_id), connection.peer, why)
        mqtt5 = connection.mqtt5 if mqtt5 is None else mqtt5
        connection.send(connect.connack(code, mqtt5=mqtt5))
        connection.close()


def _may_write(rights: Rights | None, topic: str) -> bool:
    return not topic.startswith("$SYS/") and (rights is None or rights.may_write(topic))
