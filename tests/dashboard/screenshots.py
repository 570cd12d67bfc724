"""Pictures of the page, of a real bus: ``python -m tests.dashboard.screenshots``.

Those of the documents end in `docs/img`. ``--all FOLDER``: every page, in both colours and on a
phone, into another folder, to be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser, expect

from routeq_mqtt.tasks import Scope
from tests.cluster.cluster import Cluster
from tests.cluster.process import ROOT
from tests.cluster.recorder import Recorder
from tests.dashboard.browser import Scheme, browser, page
from tests.dashboard.shop import Shop, shop

RENAME = """([from, to]) => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replaceAll(from, to);
}"""
"""A traceback names the folder that the picture was taken in, which is of no interest."""

IMG = ROOT / "docs" / "img"
SHOWN = {
    "overview": "#/overview?range=live",
    "queue": "#/queue/payments",
    "failed": "#/failed",
    "job": "",
}
"""Pictures of the documents; that of a job is of the first that failed."""

OTHERS = {
    "jobs-delayed": "#/jobs?state=delayed", "jobs-running": "#/jobs?state=running",
    "records": "#/failed?view=records", "workers": "#/workers", "schedules": "#/schedules",
    "batches": "#/batches", "limits": "#/limits", "edge": "#/edge", "bus": "#/bus",
}  # fmt: skip


async def main(out: Path, *, everything: bool) -> None:
    """Start a bus, take the pictures, stop it."""
    recorder = Recorder()
    await recorder.start()
    with tempfile.TemporaryDirectory() as name:
        cluster = Cluster("embedded", Path(name), recorder)
        try:
            await cluster.start_broker()
            async with shop(cluster) as one, cluster.bus() as bus, browser() as chrome:
                await one.sell(bus)
                await one.serve("--environment", "staging")
                [record] = await bus.requests.call("failed.list", limit=1)
                async with Scope() as scope:
                    scope.start(one.trade(bus), "trade")
                    await _take(chrome, one, out, record["id"], everything=everything)
        finally:
            await cluster.close()
            await recorder.stop()


async def _take(chrome: Browser, one: Shop, out: Path, job: str, *, everything: bool) -> None:
    pages = SHOWN | {"job": f"#/job/{job}"} | (OTHERS if everything else {})
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    for scheme in schemes:
        await _series(chrome, one, {out / f"{name}-{scheme}.png": at for name, at in pages.items()},
                      scheme, 1280)  # fmt: skip
    phone = pages if everything else {"overview": "#/overview?range=live"}
    await _series(
        chrome, one, {out / f"{name}-phone.png": at for name, at in phone.items()}, "light", 390
    )


async def _series(
    chrome: Browser, one: Shop, files: dict[Path, str], scheme: Scheme, width: int
) -> None:
    async with page(chrome, scheme=scheme, width=width, height=900 if width > 400 else 844) as seen:
        await seen.page.goto(one.link())
        for file, place in files.items():
            await seen.page.evaluate("place => { location.hash = place }", place)
            await seen.page.wait_for_selector("main h1")
            await seen.page.wait_for_load_state("load")
            # Nothing is loading any more, and there is something in the live chart.
            await expect(seen.page.locator("[aria-busy]")).to_have_count(0)
            await seen.page.wait_for_timeout(45_000 if "range=live" in place else 2_500)
            await seen.page.evaluate(RENAME, [str(ROOT / "tests" / "dashboard"), "/srv/shop"])
            await seen.page.screenshot(path=file, full_page=width < 400)
        if seen.complaints:
            print(scheme, width, *seen.complaints, sep="\n  ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every page, into this folder")
    chosen = parser.parse_args().all
    target: Path = chosen or IMG
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target, everything=chosen is not None))
