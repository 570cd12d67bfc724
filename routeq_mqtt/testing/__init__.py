"""For tests of programs that dispatch jobs: a fake bus, a bus in memory, a broker in memory."""

from routeq_mqtt.jobs.calls.depends import override
from routeq_mqtt.jobs.calls.life import worker_life
from routeq_mqtt.testing.bus import MemoryBus
from routeq_mqtt.testing.dispatched import Dispatched
from routeq_mqtt.testing.fakebus import FakeBus, fake
from routeq_mqtt.testing.memory.broker import BrokerOptions, MemoryBroker
from routeq_mqtt.testing.memory.transport import MemoryTransport

__all__ = [
    "fake",
    "override",
    "worker_life",
    "FakeBus",
    "Dispatched",
    "MemoryBus",
    "MemoryBroker",
    "BrokerOptions",
    "MemoryTransport",
]
