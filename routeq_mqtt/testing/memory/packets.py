"""What travels between a client and the broker in memory: MQTT packets, as objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.transport.base import ConnectOptions


@dataclass(frozen=True, slots=True)
class Connect:
    """CONNECT (3.1)."""

    options: ConnectOptions
    mqtt5: bool


@dataclass(frozen=True, slots=True)
class Connack:
    """CONNACK (3.2); `refused` says why, and is empty where the broker agrees."""

    session_present: bool = False
    refused: str = ""
    max_packet: int | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """PUBLISH (3.3)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    dup: bool = False
    packet_id: int = 0


@dataclass(frozen=True, slots=True)
class Puback:
    """PUBACK (3.4)."""

    packet_id: int
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE (3.8)."""

    packet_id: int
    filters: tuple[str, ...]
    qos: int
    retained_if_new: bool = False


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """UNSUBSCRIBE (3.10)."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """SUBACK (3.9) or UNSUBACK (3.11): a reason for each filter."""

    packet_id: int
    reasons: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Disconnect:
    """DISCONNECT (3.14)."""

    end_session: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The other side closed the connection, behind all that it had sent."""

    cause: BaseException | None


Packet = Connect | Connack | Publish | Puback | Subscribe | Unsubscribe | Granted | Disconnect | End
