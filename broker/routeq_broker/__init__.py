"""A small MQTT broker that shares ``$queue/<name>`` among workers, and loses nothing."""

from routeq_broker.access.acl import Acl
from routeq_broker.access.doorkeeper import Doorkeeper, load_certificates, tls_context
from routeq_broker.access.users import Users, hashed_line
from routeq_broker.broker import Broker
from routeq_broker.errors import AccessFileBroken, AddressInUse, BrokerError, StoreBroken
from routeq_broker.options import Limits
from routeq_broker.policy import RedeliveryPolicy

__all__ = [
    "AccessFileBroken",
    "Acl",
    "AddressInUse",
    "Broker",
    "BrokerError",
    "Doorkeeper",
    "Limits",
    "RedeliveryPolicy",
    "StoreBroken",
    "Users",
    "hashed_line",
    "load_certificates",
    "tls_context",
]
