"""Handles a message from a device."""

from __future__ import annotations

from routeq_mqtt import Job


class CheckDoor(Job):
    queue = "doors"

    door: str
    is_open: bool

    async def handle(self) -> None:
        print(f"door={self.door} open={self.is_open}", flush=True)
