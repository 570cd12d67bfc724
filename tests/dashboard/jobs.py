"""Jobs of a shop, for the pictures and for the tests of the page."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from routeq_mqtt import Job, cron, every


class CardDeclined(Exception):
    pass


class SendInvoice(Job):
    queue = "mail"
    max_tries = 2
    retry_after = 0.2
    order: int
    to: str
    api_token: str = "tok_live_51Hx"  # noqa: S105 - what must not be shown

    async def handle(self) -> None:
        await asyncio.sleep(0.02)
        if self.order % 9 == 0:
            raise ConnectionRefusedError(111, "mail.example.org refused the connection")


class ResizeImage(Job):
    queue = "images"
    max_tries = 1
    picture: str
    width: int

    async def handle(self) -> None:
        await asyncio.sleep(0.1)
        if self.width > 8000:
            raise ValueError(f"width={self.width} is larger than 8000 pixels")


class ChargeCard(Job):
    queue = "payments"
    max_tries = 1
    order: int
    amount: float
    card_number: str = "4242 4242 4242 4242"

    async def handle(self) -> None:
        await asyncio.sleep(0.05)
        if self.order % 4 == 0:
            raise CardDeclined(f"order {self.order}: insufficient funds")


class ImportCatalogue(Job):
    """Runs until the file `ROUTEQ_TEST_GATE` is there: the page shows it running."""

    queue = "imports"
    timeout = 3600
    file: str
    rows: int = 12_000

    async def handle(self) -> None:
        self.progress(self.rows // 3, self.rows, "reading")
        while not Path(os.environ.get("ROUTEQ_TEST_GATE", "/")).exists():  # noqa: ASYNC240
            await asyncio.sleep(0.05)


@cron("30 2 * * *", timezone="Europe/Berlin")
class NightlyReport(Job):
    queue = "reports"

    async def handle(self) -> None:
        pass


@every(seconds=300)
class SyncStock(Job):
    queue = "reports"

    async def handle(self) -> None:
        pass


class RebuildIndex(Job):
    queue = "reports"
    unique_for = 7200
    shop: str

    async def handle(self) -> None:
        pass


class Anything(Job):
    """Fails with a text until the file `ROUTEQ_TEST_GATE` is there; then a retry works."""

    max_tries = 1
    text: str = ""
    payload: Any = None

    async def handle(self) -> None:
        self.progress(1, 3, self.text)
        if not Path(os.environ.get("ROUTEQ_TEST_GATE", "/")).exists():  # noqa: ASYNC240
            raise RuntimeError(self.text)
