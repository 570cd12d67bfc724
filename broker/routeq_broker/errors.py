"""What the broker raises.

BrokerError
├── AddressInUse     the address cannot be listened on
├── StoreBroken      the database cannot be used
└── ProtocolError    a client sent what MQTT does not allow; its connection ends
"""

from __future__ import annotations


class BrokerError(Exception):
    """Base of every error of the broker."""


class AddressInUse(BrokerError):
    """The address cannot be listened on; names it."""


class StoreBroken(BrokerError):
    """The database cannot be used; names it and why."""


class ProtocolError(BrokerError):
    """A client sent what MQTT does not allow; its connection ends."""
