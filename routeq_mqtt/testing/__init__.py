"""For tests of programs that dispatch jobs: a fake bus, a bus in memory, a broker in memory."""

from routeq_mqtt.testing.broker import BrokerOptions, MemoryBroker
from routeq_mqtt.testing.bus import MemoryBus
from routeq_mqtt.testing.dispatched import Dispatched
from routeq_mqtt.testing.fakebus import FakeBus, fake
from routeq_mqtt.testing.transport import MemoryTransport

__all__ = [
    "fake",
    "FakeBus",
    "Dispatched",
    "MemoryBus",
    "MemoryBroker",
    "BrokerOptions",
    "MemoryTransport",
]
