"""The page in a real browser, on a real bus."""

from __future__ import annotations

import json
import re
import signal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Request, expect

from routeq_mqtt import Bus
from routeq_mqtt.wire.messages.status import WorkerStatus, encode
from routeq_mqtt.wire.observe.outbox import OutboxReport
from tests.dashboard.browser import Scheme, page
from tests.dashboard.jobs import Anything
from tests.dashboard.shop import Shop

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

AXE = files("axe_playwright_python") / "axe.min.js"
PAGES = (
    "#/overview", "#/overview?range=live", "#/queue/mail", "#/jobs?state=running",
    "#/jobs?state=delayed", "#/failed", "#/failed?view=records", "#/workers", "#/schedules",
    "#/batches", "#/batches?view=chains", "#/batches?view=rollouts", "#/limits", "#/edge", "#/bus",
)  # fmt: skip
expect.set_options(timeout=30_000)  # milliseconds; 5 s by default, which a busy machine may need
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`${7*7}"


async def show(page: Page, place: str) -> None:
    """Go to a place, and wait until nothing is loading there."""
    await page.evaluate("place => { location.hash = place }", place)
    await page.wait_for_url(f"**/{place}")
    await expect(page.locator("main h1")).to_be_attached()
    await expect(page.locator("[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
async def test_every_page_is_clean_accessible_and_fits(
    store: Shop, bus: Bus, chrome: Browser, scheme: Scheme, width: int
) -> None:
    await store.sell(bus, orders=12)
    link = await store.serve("--environment", "test")
    [record] = await bus.requests.call("failed.list", limit=1)
    async with page(chrome, scheme=scheme, width=width) as seen:
        await seen.page.goto(link)
        for place in (*PAGES, f"#/job/{record['id']}"):
            await show(seen.page, place)
            problems = await seen.page.locator(".problem").all_text_contents()
            wide = await seen.page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            assert (place, problems, seen.complaints, wide <= 0) == (place, [], [], True)
            assert (place, await violations(seen.page, scheme)) == (place, [])


async def test_a_chart_has_lines_axes_and_the_values_under_the_pointer(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await show(seen.page, "#/overview?range=live")
        chart = seen.page.locator(".chart").first
        await expect(chart.locator(".k--done .curve")).to_have_attribute("d", re.compile("^M.*L"))
        await expect(chart.locator("text.up").first).to_have_text("0")
        await expect(chart.locator("text.along").first).to_have_text(re.compile(r":\d\d$"))
        await chart.locator("svg").hover(position={"x": 70, "y": 60})
        await expect(chart.locator(".pointer")).to_be_attached()
        ticks = await seen.page.evaluate(
            """async () => { const { heights } = await import("./static/lib/chart.js");
                const whole = (n) => String(Math.round(n));
                const words = (high) => heights(high, 5, whole).ticks.map((one) => one[1]);
                return [0, 3, 7321].map(words);
            }"""
        )
        assert ticks == [["0", "1"], ["0", "1", "2", "3"], ["0", "2000", "4000", "6000", "8000"]]
        assert seen.complaints == []


async def violations(page: Page, scheme: Scheme) -> list[str]:
    """What axe finds; in the dark only colours differ.

    Its source is evaluated by the debugger: the page's policy stays as it is.
    """
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(AXE.read_text())
    only = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
    options = {"resultTypes": ["violations"], **only}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


async def test_an_address_that_changes_while_the_page_starts_is_shown(
    store: Shop, chrome: Browser
) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.add_init_script(
            """const listen = window.addEventListener;
            window.addEventListener = function (kind, ...rest) {
                if (kind === "hashchange") history.replaceState(null, "", "#/workers");
                return listen.call(this, kind, ...rest);
            };"""
        )
        await seen.page.goto(link)
        await expect(seen.page.locator("main table").first).to_contain_text("web-1")


async def test_what_fails_appears_and_a_retry_of_the_group_runs_it(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await show(seen.page, "#/failed")
        await expect(seen.page.get_by_text("Nothing has failed")).to_be_visible()
        for number in range(3):
            await bus.dispatch(Anything(text=f"no {number}"))
        # Live: nothing was reloaded.
        await expect(seen.page.locator("nav .tally.bad")).to_have_text("3")
        row = seen.page.locator("tr", has_text="RuntimeError")
        await row.get_by_role("button", name="Retry…").click()
        dialog = seen.page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading")).to_have_text("Retry 3 records?")
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        assert len(await bus.requests.call("failed.list")) == 3
        store.gate.touch()
        await row.get_by_role("button", name="Retry…").click()
        await dialog.get_by_label("Jobs per second").fill("50")
        await dialog.get_by_role("button", name="Retry 3 records").click()
        await expect(seen.page.get_by_text("3 jobs will run again")).to_be_visible()
        await expect(seen.page.get_by_text("Nothing has failed")).to_be_visible()
        await expect(seen.page.locator("nav .tally.bad")).to_have_count(0)
        await show(seen.page, "#/bus")
        # Here it is known who it was; of an unsigned request the scheduler has only a name.
        here, asked = (
            seen.page.locator(f"section[aria-labelledby={name}]") for name in ("here", "audit")
        )
        await expect(here.locator("tr", has_text="failed.bulk")).to_contain_text("local")
        line = asked.locator("tr", has_text="failed.bulk")
        await expect(line).to_contain_text("dashboard: local claimed")
        assert seen.complaints == []
    assert store.dashboard is not None
    assert 'action=failed.bulk user="local"' in store.dashboard.output


async def test_failures_are_listed_when_they_are_counted_not_with_the_next_poll(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await show(seen.page, "#/failed")
        await expect(seen.page.get_by_text("Nothing has failed")).to_be_visible()
        await seen.page.clock.install()
        await show(seen.page, "#/workers")
        await show(seen.page, "#/failed")
        await seen.page.clock.pause_at(await seen.page.evaluate("Date.now() + 500"))
        await bus.dispatch(Anything(text="no"))
        tally = seen.page.locator("nav .tally.bad")
        await expect(tally).to_have_text("1")  # from the stream, which needs no timer
        await seen.page.clock.run_for(2_000)  # too little for a poll, which comes each 5 s
        await expect(seen.page.locator("main tr", has_text="RuntimeError")).to_be_visible()


async def test_a_copied_command_has_no_placeholder_for_what_is_hidden(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    job = await bus.dispatch(Anything(text="no", payload={"token": "t"}), delay=3600)
    async with page(chrome) as seen:
        await seen.page.add_init_script(
            "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
        )
        for flags, left, rest in (
            ((), "payload", "dispatch --queue=default -- Anything 'text=\"no\"'"),
            (("--hide-data",), "the data", "dispatch --queue=default -- Anything"),
        ):
            await seen.page.goto(await store.serve(*flags))
            await show(seen.page, f"#/job/{job.id}")
            await seen.page.get_by_role("button", name="Copy as command").click()
            await expect(seen.page.get_by_text(f"Copied without {left}: hidden")).to_be_visible()
            assert await seen.page.evaluate("copied") == f"routeq-mqtt {rest}"
            assert store.dashboard is not None
            await store.dashboard.kill()


async def test_selected_records_are_retried_by_keyboard_and_the_filter_stays(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    for number in range(3):
        await bus.dispatch(Anything(text=f"no {number}"))
    await store.cluster.failed_records(bus, 3)
    store.gate.touch()
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await expect(seen.page.locator("main table").first).to_be_visible()
        await seen.page.keyboard.press("g")
        await seen.page.keyboard.press("f")
        await expect(seen.page).to_have_url(re.compile("#/failed$"))
        await seen.page.keyboard.press("/")
        await seen.page.keyboard.type("no 1")
        await expect(seen.page).to_have_url(re.compile("text=no"))
        await expect(seen.page.locator("tbody tr")).to_have_count(1)
        await seen.page.keyboard.press("Escape")
        for key in ("j", "x", "r"):
            await seen.page.keyboard.press(key)
        await expect(seen.page.get_by_text("1 job will run again")).to_be_visible()
        await expect(seen.page.get_by_text("No record matches")).to_be_visible()
        await expect(seen.page).to_have_url(re.compile("text=no"))
        await seen.page.keyboard.press("?")
        await expect(seen.page.get_by_role("dialog")).to_contain_text("Retry what is selected")
        assert seen.complaints == []
    assert len(await bus.requests.call("failed.list")) == 2


async def test_a_page_without_its_server_says_how_old_it_is(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    link = await store.serve()
    assert store.dashboard is not None
    async with page(chrome) as seen:
        await seen.page.clock.install()
        await seen.page.goto(link)
        await seen.page.clock.run_for(2_000)
        await expect(seen.page.locator(".pulse")).to_have_text("Live")
        store.dashboard.send(signal.SIGSTOP)
        await seen.page.clock.run_for(15_000)
        await expect(seen.page.locator(".pulse.away")).to_have_text(re.compile(r"As of 1\d s ago"))
        await expect(seen.page.locator("main table").first).to_contain_text("mail")
        store.dashboard.send(signal.SIGCONT)
        await expect(seen.page.locator(".pulse")).to_have_text("Live")


async def test_a_viewer_sees_everything_and_can_do_nothing(
    store: Shop, bus: Bus, chrome: Browser, tmp_path: Path
) -> None:
    for name, password in (("operators", "act on it"), ("viewers", "look at it")):
        (tmp_path / name).write_text(f"{password}\n")
    await bus.dispatch(Anything(text="no"))
    await store.cluster.failed_records(bus, 1)
    flags = ("--password-file", str(tmp_path / "operators"))
    link = await store.serve(*flags, "--viewer-password-file", str(tmp_path / "viewers"))
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await seen.page.get_by_label("Password").fill("look at it")
        await seen.page.get_by_role("button", name="Log in").click()
        await expect(seen.page.get_by_text("viewer (may only look)")).to_be_visible()
        for place in ("#/failed", "#/failed?view=records", "#/queue/mail", "#/workers"):
            await show(seen.page, place)
            await expect(seen.page.locator("main button:not(.quiet)")).to_have_count(0)
        status = await seen.page.evaluate(
            """() => fetch("api/act/queue.pause", {method: "POST", body: '{"queue": "mail"}',
                headers: {"content-type": "application/json"}}).then((answer) => answer.status)"""
        )
        assert status == 403
    assert (await bus.size("mail")).paused is False


async def test_markup_of_strangers_is_shown_as_text(store: Shop, bus: Bus, chrome: Browser) -> None:
    queue = "<script>alert(3)<script>"
    envelope: dict[str, Any] = {"job": EVIL[:100], "data": {EVIL: [EVIL, {"constructor": EVIL}]}}
    async with store.cluster.bus() as device:
        connection = await device.sender.link.ready()
        worker = WorkerStatus(
            id="evil", state="online", queues=["mail"], sessions=["evil/mail"], host=EVIL,
            tags={EVIL: EVIL}, version=EVIL, started_at=1.0, at=2.0,
        )  # fmt: skip
        await connection.publish("routeq/workers/evil", encode(worker), retain=True)
        outbox = OutboxReport(place=EVIL, jobs=7_654, oldest_at=1.0)
        await connection.publish("routeq/outbox/evil", outbox.encode(), retain=True)
        await connection.publish("$queue/default", json.dumps(envelope).encode())
        await bus.dispatch(Anything(text=EVIL, payload={EVIL: EVIL}), headers={"x": EVIL})
        await bus.dispatch(Anything(text=EVIL), queue=queue, delay=3600, confirm="stored")
        await store.cluster.failed_records(bus, 2)
    link = await store.serve()
    records = await bus.requests.call("failed.list")
    async with page(chrome) as seen:
        await seen.page.goto(link)
        delayed = "#/jobs?state=delayed"
        jobs = [f"#/job/{record['id']}" for record in records]
        for place in (*PAGES, delayed, *jobs, f"#/queue/{EVIL}", f"#/{EVIL}", f"#/job/{EVIL}"):
            await seen.page.evaluate("place => { location.hash = place }", place)
            await expect(seen.page.locator("main")).not_to_be_empty()
            await expect(seen.page.locator("[aria-busy]")).to_have_count(0)
            assert await seen.page.locator("main img, main script").count() == 0, place
        await show(seen.page, f"#/job/{records[0]['id']}")
        await expect(seen.page.locator("main")).to_contain_text("<script>alert(2)</script>")
        await show(seen.page, "#/edge")
        await expect(seen.page.locator("tr", has_text="alert(2)")).to_contain_text("7,654")
        refused = "Failed to load resource: the server responded with a status of 4"
        assert [one for one in seen.complaints if refused not in one] == []


async def test_ten_tabs_all_load_a_hidden_one_is_silent_and_sigterm_ends_it(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    link = await store.serve()
    assert store.dashboard is not None
    async with page(chrome) as first:
        await first.page.goto(link)
        await show(first.page, "#/workers")
        tabs = [first.page]
        for _ in range(9):
            tab = await first.page.context.new_page()
            await tab.goto(first.page.url, wait_until="commit")
            tabs.append(tab)
        for tab in tabs:
            await expect(tab.locator("main table").first).to_contain_text("web-1")
        last = tabs[-1]
        ended: list[str] = []

        def note(request: Request) -> None:
            ended.append(request.url.rpartition("/")[2])

        last.on("requestfailed", note)
        async with last.expect_event("requestfailed"):
            await last.evaluate(
                """() => { Object.defineProperty(document, "hidden", {get: () => true});
                    document.dispatchEvent(new Event("visibilitychange")); }"""
            )
        assert ended == ["stream"]
        store.dashboard.send(signal.SIGTERM)
        await store.dashboard.ended()
    # It would have been ended by force, with an error line, after 3 seconds.
    assert "dashboard stopped" in store.dashboard.output
    assert "ended by force" not in store.dashboard.output
