"""A small MQTT broker that shares ``$queue/<name>`` among workers, and loses nothing."""

from routeq_broker.acl import Acl
from routeq_broker.broker import Broker
from routeq_broker.doorkeeper import Doorkeeper, tls_context
from routeq_broker.errors import AccessFileBroken, AddressInUse, BrokerError, StoreBroken
from routeq_broker.policy import RedeliveryPolicy
from routeq_broker.users import Users, hashed_line

__all__ = [
    "AccessFileBroken",
    "Acl",
    "AddressInUse",
    "Broker",
    "BrokerError",
    "Doorkeeper",
    "RedeliveryPolicy",
    "StoreBroken",
    "Users",
    "hashed_line",
    "tls_context",
]
