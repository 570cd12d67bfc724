"""A small MQTT broker that shares ``$queue/<name>`` among workers, and loses nothing."""

from routeq_broker.broker import Broker
from routeq_broker.errors import AddressInUse, BrokerError, StoreBroken
from routeq_broker.policy import RedeliveryPolicy

__all__ = ["AddressInUse", "Broker", "BrokerError", "RedeliveryPolicy", "StoreBroken"]
