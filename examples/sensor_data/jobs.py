"""Sensor data from a device that only has an MQTT client."""

from __future__ import annotations

from datetime import datetime

from routeq_mqtt import Job


class StoreReading(Job):
    queue = "sensors"
    name = "store_reading"

    sensor: str
    celsius: float
    at: datetime | None = None

    async def handle(self) -> None:
        print(f"sensor={self.sensor} celsius={self.celsius} at={self.at}", flush=True)
