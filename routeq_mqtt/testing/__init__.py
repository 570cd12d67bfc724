"""A bus in memory: for tests of programs that dispatch jobs, and of this library itself."""

from routeq_mqtt.testing.broker import BrokerOptions, MemoryBroker
from routeq_mqtt.testing.bus import MemoryBus
from routeq_mqtt.testing.transport import MemoryTransport

__all__ = ["MemoryBus", "MemoryBroker", "BrokerOptions", "MemoryTransport"]
