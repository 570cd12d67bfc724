"""Jobs that messages of devices become."""

from __future__ import annotations

from typing import Any

from routeq_mqtt import Job, trigger
from tests.cluster.jobs import tell


@trigger("devices/{device_id}/telemetry")
class Telemetry(Job):
    device_id: str
    celsius: float | None = None
    payload: Any = None
    topic: str = ""

    async def handle(self) -> None:
        key = f"{self.device_id} {self.celsius} {self.payload!r}"
        await tell("ran", self, key=key, topic=self.topic)


class Alarm(Job):
    name = "alarm"
    payload: Any

    async def handle(self) -> None:
        await tell("alarm", self, key=str(self.payload))


class RawBytes(Job):
    name = "raw_bytes"
    payload: bytes

    async def handle(self) -> None:
        await tell("ran", self, key=repr(self.payload))


class PlainText(Job):
    name = "plain_text"
    payload: str

    async def handle(self) -> None:
        await tell("ran", self, key=repr(self.payload))
