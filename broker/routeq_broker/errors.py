"""What the broker raises.

BrokerError
├── AddressInUse     the address cannot be listened on
├── StoreBroken      the database cannot be used
├── AccessFileBroken users, access rules or certificates cannot be used
├── NotAdmitted      a client is refused at CONNECT
└── ProtocolError    a client sent what MQTT does not allow; its connection ends
"""

from __future__ import annotations

from routeq_broker.protocol import reasons


class BrokerError(Exception):
    """Base of every error of the broker."""


class AddressInUse(BrokerError):
    """The address cannot be listened on; names it."""


class StoreBroken(BrokerError):
    """The database cannot be used; names it and why."""


class AccessFileBroken(BrokerError):
    """A file of users, access rules or certificates cannot be used; names it and why."""


class NotAdmitted(BrokerError):
    """A client may not connect.

    Args:
        reason: for the log; holds no password.
        code: of the CONNACK, as MQTT 5 has it; `reasons.old_code` gives the one of 3.1.1.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class ProtocolError(BrokerError):
    """A client sent what MQTT does not allow; its connection ends.

    Args:
        problem: for the log.
        code: of the DISCONNECT (MQTT 5); default: malformed packet.
    """

    def __init__(self, problem: str, code: int = reasons.MALFORMED_PACKET) -> None:
        super().__init__(problem)
        self.code = code
