"""An MQTT broker in memory that behaves as mosquitto does, badly where mosquitto is bad.

Shared subscriptions are forgotten at a restart, a group gives messages to offline members too,
nothing is given to another member, a session that ends takes its messages along, an overfull queue
drops silently, Receive Maximum holds until the first acknowledgement only. `docs/design.md` has the
facts; the suite in `tests/transport` runs against this broker and against real ones.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.errors import ConnectionLost
from routeq_mqtt.testing.memory import packets as mqtt
from routeq_mqtt.testing.memory.memory_network import Delay, no_delay
from routeq_mqtt.testing.memory.router import Router
from routeq_mqtt.testing.memory.session import LAST_PACKET_ID, Session
from routeq_mqtt.transport.base import NO_MATCHING_SUBSCRIBERS, SUCCESS

if TYPE_CHECKING:
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.testing.memory.memory_network import Wire
    from routeq_mqtt.transport.base import ConnectOptions

NOT_AUTHORIZED = 0x87
_FAILURE = 0x80
_NEVER = 0xFFFFFFFF
"""Session expiry (MQTT 5, 3.1.2.11.2): the session does not end."""

Allow = Callable[[str, str, str], bool]


def allow_all(client_id: str, action: str, topic: str) -> bool:
    """Access control that lets everybody do everything."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """How a broker in memory behaves.

    Attributes:
        mqtt5: speak MQTT 5; else 3.1.1 alone.
        truthful: say 0x10 where there is no subscriber (MQTT 5).
        max_queued: messages that wait for one session at most, the rest is dropped silently
            (mosquitto's `max_queued_messages`); None: no limit.
        max_inflight: unacknowledged messages of one session at most; None: no limit.
        exact_receive_maximum: heed Receive Maximum always, as mosquitto 2.0.20 does; 2.0.11
            forgets it at the first acknowledgement.
        allow: access control, asked with client identifier, "publish" or "subscribe", and topic.
        ends_refused: end the connection of a client that publishes what it may not, behind the
            PUBACK, as mosquitto 2.0.11 does; on 3.1.1 in place of it (3.3.5).
        max_packet: bytes of a payload that it takes; a larger one ends the connection. None: any.
        shares: deliver to shared subscriptions; else they are granted, and nothing comes.
        retained_to_wildcards: send retained messages to filters with ``+`` or ``#``; RabbitMQ
            does not.
        tells_max_packet: on MQTT 5 the CONNACK says so (3.2.2.3.6).
        delay: seconds that packets are on their way, for each burst.
        packet_ids: the highest packet id of a session; few of them come again soon.
    """

    mqtt5: bool = True
    reports_no_subscribers: bool = True
    max_queued: int | None = None
    max_inflight: int | None = None
    exact_receive_maximum: bool = False
    allow: Allow = allow_all
    ends_refused: bool = False
    max_packet: int | None = None
    tells_max_packet: bool = True
    shares: bool = True
    retained_to_wildcards: bool = True
    delay: Delay = no_delay
    packet_ids: int = LAST_PACKET_ID


class MemoryBroker:
    """An MQTT broker in memory that behaves like mosquitto.

    Args:
        options: how it behaves.
        clock: when offline sessions expire.
    """

    def __init__(self, options: BrokerOptions | None = None, *, clock: Clock | None = None) -> None:
        self.options: BrokerOptions = options or BrokerOptions()
        self.running: bool = True
        self.context: contextvars.Context = contextvars.copy_context()
        self._clock = clock or SystemClock()
        self._router = Router()
        self._wires: dict[Wire, Session | None] = {}
        self._saved: tuple[list[Session], dict[str, mqtt.Publish]] = ([], {})
        self._hung = False

    # -- what tests do to it -------------------------------------------------------------------

    def save(self) -> None:
        """Write the persistence file: persistent sessions without shared subscriptions."""
        sessions = [s.saved() for s in self._router.sessions.values() if s.persistent]
        self._saved = (sessions, dict(self._router.retained))

    def stop(self) -> None:
        """SIGTERM: Last Wills, a saved file, and every connection closed."""
        for session in list(self._router.sessions.values()):
            self._send_will(session)
        self.save()
        self._go_down()

    def kill(self) -> None:
        """SIGKILL: what came since the last `save` never was."""
        self._go_down()

    def start(self, *, empty: bool = False) -> None:
        """Start again from the file; `empty`: without one, as if nothing had been before."""
        if empty:
            self._saved = ([], {})
        sessions, retained = self._saved
        self._router = Router()
        for session in sessions:
            self._router.sessions[session.client_id] = session.saved()
        for session in self._router.sessions.values():
            self._expire_later(session)
        self._router.retained = dict(retained)
        self.running = True

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Hang: connections stay open, nothing is read."""
        self._hung = True
        for wire in self._wires:
            wire.up.hold()

    def resume(self) -> None:
        """Go on."""
        self._hung = False
        for wire in list(self._wires):
            wire.up.let_go()

    def connected(self) -> list[str]:
        """Client identifiers that are online."""
        return [wire.client_id for wire, session in self._wires.items() if session is not None]

    def cut(self, client_id: str, *, up: int = 0, down: int = 0) -> None:
        """Break a client's connection; the Last Will goes out.

        Args:
            client_id: whose.
            up: packets under way to the broker that still arrive; the others are lost.
            down: packets under way to the client that still arrive.
        """
        for wire in [wire for wire in self._wires if wire.client_id == client_id]:
            self.sever(wire, up=up, down=down)

    def sever(self, wire: Wire, *, up: int = 0, down: int = 0) -> None:
        """Break one connection; see `cut`."""
        wire.up.cut(up)
        wire.break_client(ConnectionLost("connection lost: cut"), down)
        self._lost(wire)

    def time_out(self, client_id: str) -> None:
        """Give a client up that was silent for 1.5 times its keep-alive; the Last Will goes out."""
        for wire in [wire for wire in self._wires if wire.client_id == client_id]:
            wire.down.send(mqtt.End(ConnectionLost("connection lost: keep-alive timeout")))
            self.drop(wire)

    def repeat(self, client_id: str) -> None:
        """Send what a connected session has not acknowledged once more, as NATS does in time."""
        session = self._router.sessions.get(client_id)
        if session is not None and session.wire is not None:
            session.resume()

    def holds(self, client_id: str) -> list[bytes]:
        """Payloads that a session holds: unacknowledged ones, then queued ones."""
        session = self._router.sessions.get(client_id)
        if session is None:
            return []
        return [message.payload for message in (*session.in_flight.values(), *session.queued)]

    @property
    def retained(self) -> dict[str, bytes]:
        """Retained messages, by topic."""
        return {topic: message.payload for topic, message in self._router.retained.items()}

    def _go_down(self) -> None:
        self.running = False
        wires, self._wires = self._wires, {}
        for wire in wires:
            wire.up.cut()
            wire.down.send(mqtt.End(ConnectionLost("connection lost: the broker ended")))

    # -- what clients do -----------------------------------------------------------------------

    def accept(self, wire: Wire) -> None:
        """A client has opened a connection."""
        self._wires[wire] = None
        wire.up.connect(lambda packet: self._receive(wire, packet), self.context)
        if self._hung:
            wire.up.hold()

    def drop(self, wire: Wire) -> None:
        """A connection is gone: nothing more of it is read."""
        wire.up.cut()
        self._lost(wire)

    def _receive(self, wire: Wire, packet: mqtt.Packet) -> None:
        if wire not in self._wires:
            return
        if isinstance(packet, mqtt.Connect):
            self._connect(wire, packet)
            return
        session = self._wires[wire]
        if session is not None:
            self._handle(wire, session, packet)

    def _handle(self, wire: Wire, session: Session, packet: mqtt.Packet) -> None:
        match packet:
            case mqtt.Publish():
                self._publish(wire, packet)
            case mqtt.Puback():
                self._acknowledge(session, packet)
            case mqtt.Subscribe():
                self._subscribe(wire, session, packet)
            case mqtt.Unsubscribe():
                for name in packet.filters:
                    self._router.unsubscribe(session, name)
                wire.down.send(mqtt.Granted(packet.packet_id))
            case mqtt.Disconnect():
                self._disconnect(wire, session, packet)

    def _connect(self, wire: Wire, packet: mqtt.Connect) -> None:
        options = packet.options
        if packet.mqtt5 and not self.options.mqtt5:
            wire.down.send(mqtt.Connack(refused="unsupported protocol version"))
            del self._wires[wire]
            return
        self._expire()
        self._take_over(options)
        session = self._router.sessions.get(options.client_id)
        if session is not None and not options.persistent:
            self._router.remove(session)
            session = None
        present = session is not None
        if session is None:
            session = Session(options.client_id, packet_ids=self.options.packet_ids)
            self._router.sessions[options.client_id] = session
        self._bind(wire, session, packet)
        told = self.options.max_packet if self.options.tells_max_packet and packet.mqtt5 else None
        wire.down.send(mqtt.Connack(present, max_packet=told))
        session.resume()

    def _bind(self, wire: Wire, session: Session, packet: mqtt.Connect) -> None:
        options = packet.options
        session.mqtt5 = packet.mqtt5
        session.persistent = options.persistent and (not packet.mqtt5 or options.session_expiry > 0)
        never = not packet.mqtt5 or options.session_expiry >= _NEVER
        session.expiry = None if never else options.session_expiry
        session.expires_at = None
        session.will = options.will
        session.limit = self._limit(options, mqtt5=packet.mqtt5)
        session.wire = wire
        wire.client_id = options.client_id
        self._wires[wire] = session

    def _limit(self, options: ConnectOptions, *, mqtt5: bool) -> int | None:
        limits = (self.options.max_inflight, options.receive_maximum if mqtt5 else None)
        return min((limit for limit in limits if limit is not None), default=None)

    def _take_over(self, options: ConnectOptions) -> None:
        for wire, session in list(self._wires.items()):
            if session is not None and session.client_id == options.client_id:
                wire.down.send(mqtt.End(ConnectionLost("connection lost: session taken over")))
                if session.persistent and options.persistent:
                    session.will = None  # mosquitto: the session lives on, so its will does not
                self.drop(wire)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for session in list(self._router.sessions.values()):
            if session.expires_at is not None and session.expires_at <= now:
                self._router.remove(session)

    def _publish(self, wire: Wire, packet: mqtt.Publish) -> None:
        if len(packet.payload) > (self.options.max_packet or len(packet.payload)):
            wire.down.send(mqtt.End(ConnectionLost("connection lost: packet too large")))
            self.drop(wire)
            return
        refused = not self.options.allow(wire.client_id, "publish", packet.topic)
        reason = NOT_AUTHORIZED if refused else self._route(packet)
        ends = refused and self.options.ends_refused
        if packet.qos and (self.options.mqtt5 or not ends):
            wire.down.send(mqtt.Puback(packet.packet_id, reason))
        if ends:
            wire.down.send(mqtt.End(ConnectionLost("connection lost: the broker ended it")))
            self.drop(wire)

    def _route(self, packet: mqtt.Publish) -> int:
        if packet.retain:
            self._router.keep(packet)
        reason = NO_MATCHING_SUBSCRIBERS if self.options.reports_no_subscribers else SUCCESS
        given: set[str] = set()
        for session, qos in list(self._router.receivers(packet.topic)):
            reason = SUCCESS
            if session.client_id in given and not session.mqtt5:
                continue  # mosquitto: one copy on 3.1.1, one for each subscription on MQTT 5
            given.add(session.client_id)
            message = mqtt.Publish(packet.topic, packet.payload, min(qos, packet.qos))
            session.give(message, most_queued=self.options.max_queued)
        return reason

    def _acknowledge(self, session: Session, packet: mqtt.Puback) -> None:
        if not self.options.exact_receive_maximum:
            session.limit = self.options.max_inflight
        session.acknowledge(packet.packet_id)

    def _subscribe(self, wire: Wire, session: Session, packet: mqtt.Subscribe) -> None:
        reasons = []
        known = set(session.plain) if packet.retained_if_new else set()
        for name in packet.filters:
            if not self.options.shares and name.startswith("$share/"):
                reasons.append(packet.qos)
            elif self.options.allow(session.client_id, "subscribe", name):
                reasons.append(self._router.subscribe(session, name, packet.qos))
            else:
                reasons.append(NOT_AUTHORIZED if session.mqtt5 else _FAILURE)
        wire.down.send(mqtt.Granted(packet.packet_id, tuple(reasons)))
        for name, reason in zip(packet.filters, reasons, strict=True):
            if reason < _FAILURE and name not in known:
                for message in self._retained_for(name):
                    kept = replace(message, qos=min(reason, message.qos), retain=True)
                    session.give(kept, most_queued=self.options.max_queued)

    def _retained_for(self, name: str) -> list[mqtt.Publish]:
        if not self.options.retained_to_wildcards and ("+" in name or "#" in name):
            return []
        return self._router.retained_for(name)

    # -- the end of a connection ---------------------------------------------------------------

    def _disconnect(self, wire: Wire, session: Session, packet: mqtt.Disconnect) -> None:
        session.will = None
        if packet.end_session:
            session.persistent = False
        wire.down.send(mqtt.End(None))
        self._lost(wire)

    def _lost(self, wire: Wire) -> None:
        session = self._wires.pop(wire, None)
        if session is None:
            return
        session.wire = None
        self._send_will(session)
        if not session.persistent:
            self._router.remove(session)
        else:
            self._expire_later(session)

    def _expire_later(self, session: Session) -> None:
        if session.expiry is not None:
            session.expires_at = self._clock.monotonic() + session.expiry

    def _send_will(self, session: Session) -> None:
        will, session.will = session.will, None
        if will is not None:
            self._route(mqtt.Publish(will.topic, will.payload, will.qos, retain=will.retain))
