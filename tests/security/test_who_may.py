"""An error of access control says which role may do what was refused."""

from __future__ import annotations

import pytest

from routeq_mqtt import PublishRefused
from routeq_mqtt.testing import MemoryBus
from routeq_mqtt.testing.memory.broker import BrokerOptions, MemoryBroker
from routeq_mqtt.wire.messages.requests import FailedList
from tests.cluster.jobs import Report


@pytest.mark.parametrize(("part", "role"), [("/rpc/", "role operator"), ("queue/", "producer")])
async def test_a_refusal_names_the_role(part: str, role: str) -> None:
    options = BrokerOptions(allow=lambda client, act, topic: act != "publish" or part not in topic)
    async with MemoryBus(broker=MemoryBroker(options)) as bus:

        async def act() -> None:
            await (
                bus.requests.ask(FailedList()) if "rpc" in part else bus.dispatch(Report(key=""))
            )

        with pytest.raises(PublishRefused, match=f"{part}.*0x87.*{role}.*ROUTEQ_USERNAME"):
            await act()
