"""A real Chromium, headless, that notes what a page complains about."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

Scheme = Literal["dark", "light"]


def chromium() -> str | None:
    """Where Chromium is; ``ROUTEQ_TEST_CHROMIUM`` names another one."""
    chosen = os.environ.get("ROUTEQ_TEST_CHROMIUM")
    if chosen:
        return shutil.which(chosen)
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def need_chromium() -> str:
    """Skip the test where there is none; `make chromium` installs it."""
    found = chromium()
    if found is None:
        pytest.skip("CHROMIUM IS NOT INSTALLED: make chromium; the tests of the page are left out")
    return found


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """The browser."""
    async with async_playwright() as play:
        one = await play.chromium.launch(
            executable_path=need_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield one
        finally:
            await one.close()


class Watched:
    """A page, and what the browser complained about: errors, violations of the policy."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")


@contextlib.asynccontextmanager
async def page(
    one: Browser, *, scheme: Scheme = "light", width: int = 1280, height: int = 860
) -> AsyncIterator[Watched]:
    """A page in a profile of its own."""
    context = await one.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, locale="en-GB"
    )
    context.set_default_timeout(20_000)
    try:
        yield Watched(await context.new_page())
    finally:
        await context.close()
