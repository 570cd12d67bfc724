"""The page against strange names, links and sites, and a broker that goes and comes back."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Route, expect

from routeq_mqtt import Bus
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.observe.numbers import QueueNumbers
from tests.dashboard.browser import page
from tests.dashboard.jobs import Anything
from tests.dashboard.shop import Shop
from tests.dashboard.test_page import show

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

expect.set_options(timeout=30_000)  # milliseconds
REFUSED = "Failed to load resource: the server responded with a status of 4"
UNSEEN = "\u202e\u2066\u200b\ufeff\u0007\u0000\u009b\r"
"""Turns the direction of writing, hides, rings, ends a text, steers a terminal, goes back."""

LINKS = (
    "#/constructor", "#/__proto__", "#/toString", "#/hasOwnProperty/x", "#/?range=constructor",
    "#/queue/mail?range=__proto__", "#/jobs?state=constructor", "#/queue/%", "#/queue/%00",
    "#/job/%2e%2e%2fapi", "#/batches/..%2f..", "#/failed?cursor=%00", "#/failed?view=toString",
    "#/jobs?state=delayed&cursor=x&q=%00&queue=%ff", f"#/job/{'x' * 5_000}", "#//////", "#/?=",
    "#/bus?cursor=" + "9" * 400,
)  # fmt: skip


async def test_no_link_breaks_the_page(store: Shop, chrome: Browser) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        for place in LINKS:
            await seen.page.evaluate("place => { location.hash = place }", place)
            await expect(seen.page.locator("main h1, main .problem").first).to_be_attached()
            await expect(seen.page.locator("[aria-busy]")).to_have_count(0)
            found = [one for one in seen.complaints if REFUSED not in one]
            assert (place, found) == (place, [])
        await show(seen.page, "#/overview")  # it still works


async def test_what_cannot_be_seen_is_written_out(store: Shop, bus: Bus, chrome: Browser) -> None:
    text = f"pay{UNSEEN}load"
    await bus.dispatch(
        Anything(text=text, payload={f"a{UNSEEN}": [text]}), headers={"x": text, UNSEEN: "y"}
    )
    await bus.requests.call("queue.pause", queue="reports")
    [record] = await store.cluster.failed_records(bus, 1)
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        for place in (f"#/job/{record['id']}", "#/failed?view=records", "#/failed"):
            await show(seen.page, place)
            whole = await seen.page.evaluate(
                """() => document.title + document.body.textContent + [...document.querySelectorAll(
                    "[title]")].map((one) => one.title).join()"""
            )
            assert not set(UNSEEN) & set(whole), place
        await show(seen.page, f"#/job/{record['id']}")
        await expect(seen.page.locator("main")).to_contain_text("pay\\u202e\\u2066\\u200b\\ufeff")
        assert seen.complaints == []


async def test_a_copied_command_is_one_command_with_no_option_of_a_stranger(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    """A job's class, queue and fields are chosen by its producer, and pasted by an operator."""
    data = {"--url": "$(touch /tmp/x)", "a'b\x1b[201~\n`id`": "'; id; '"}
    envelope = Envelope(id="hostile-1", job="--url=mqtt://evil.example.org", data=data, delay=3600)
    connection = await bus.sender.link.ready()
    await connection.publish("routeq/schedule", envelope.evolve(queue="a'b").encode())
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.add_init_script(
            "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
        )
        await seen.page.goto(link)
        await show(seen.page, "#/job/hostile-1")
        await seen.page.get_by_role("button", name="Copy as command").click()
        await expect(seen.page.get_by_role("button", name="Copied")).to_be_visible()
        copied = await seen.page.evaluate("copied")
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"routeq-mqtt() {{ printf '%s\\0' \"$@\"; }}; {copied}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await shell.communicate()
    assert copied.isprintable()
    assert output.decode().split("\0")[:-1] == [
        "dispatch", "--queue=a'b", "--", "--url=mqtt://evil.example.org",
        '--url="$(touch /tmp/x)"', "a'b\x1b[201~\n`id`=\"'; id; '\"",
    ]  # fmt: skip


async def test_a_suggested_command_is_one_whatever_the_queue_is_called(
    store: Shop, chrome: Browser
) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await show(seen.page, f"#/queue/{quote('a b; $(id)')}")
        await expect(seen.page.locator(".empty")).to_contain_text(
            "Start one: routeq-mqtt worker --queue='a b; $(id)'"
        )


async def test_500_queues_and_huge_texts_fit_a_phone(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    strange = ["50%", "a b", "%2e%2e", "__proto__", "<b>", "ä€😀", "x" * 180, "?a=b&c"]
    strange.append("constructor")
    names = [*strange, *(f"queue-{number:03}" for number in range(500 - len(strange)))]
    connection = await bus.sender.link.ready()
    for name in names:
        told = QueueNumbers(queue=name, parked=3, oldest_at=1.0, delayed=10**9, done_total=10**12)
        await connection.publish(f"routeq/queues/{name}", told.encode(), retain=True)
    await bus.dispatch(Anything(text="y" * 100_000, payload={"z" * 3_000: ["w" * 100_000]}))
    [record] = await store.cluster.failed_records(bus, 1)
    link = await store.serve()
    async with page(chrome, width=390) as seen:
        await seen.page.goto(link)
        job = f"#/job/{record['id']}"
        for place in ("#/overview", "#/failed?view=records", job, *(
            f"#/queue/{quote(name, safe='')}" for name in strange
        )):  # fmt: skip
            await seen.page.evaluate("place => { location.hash = place }", place)
            await expect(seen.page.locator("main h1")).to_be_attached()
            await expect(seen.page.locator("[aria-busy]")).to_have_count(0)
            wide = await seen.page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            assert (place, max(0, wide)) == (place, 0)
        await show(seen.page, "#/overview")
        rows = seen.page.locator("section[aria-labelledby=queues] tbody tr")
        await expect(rows.nth(499)).to_be_attached()
        for name in strange:
            await show(seen.page, "#/overview")
            await seen.page.get_by_role("link", name=name, exact=True).first.click()
            await expect(seen.page.locator("main h1")).to_contain_text(name)
        assert [one for one in seen.complaints if REFUSED not in one] == []
    for name in names:
        await connection.publish(f"routeq/queues/{name}", b"", retain=True)


async def test_another_site_cannot_act_look_or_frame(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    """With the operator logged in in the same browser."""
    link = await store.serve()
    place = link.partition("?")[0]
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await show(seen.page, "#/overview")
        answers: list[int] = []

        async def evil(route: Route) -> None:
            await route.fulfill(
                content_type="text/html",
                body=f"""<iframe src="{place}"></iframe><form method=post enctype="text/plain"
                    action="{place}api/act/queue.pause">
                    <input name='{{"queue":"mail","a":"' value='"}}'></form>""",
            )

        other = await seen.page.context.new_page()
        await other.route("http://evil.example.org/**", evil)
        await other.goto("http://evil.example.org/")
        other.on("response", lambda answer: answers.append(answer.status))
        tries = await other.evaluate(
            """async (place) => {
                const told = {method: "POST", credentials: "include", body: '{"queue": "mail"}'};
                const headers = {"content-type": "application/json"};
                const tries = [
                    [`${place}api/act/queue.pause`, {...told, mode: "no-cors"}],
                    [`${place}api/act/queue.pause`, {...told, headers}],
                    [`${place}api/state`, {credentials: "include"}],
                    [`${place}api/stream`, {credentials: "include"}],
                ];
                const read = [];
                for (const [url, options] of tries) {
                    try { read.push((await (await fetch(url, options)).text()).length); }
                    catch { read.push("refused"); }
                }
                return read;
            }""",
            place,
        )
        assert [one for one in tries if one not in {0, "refused"}] == []
        framed = [one for one in other.frames if one.url.startswith(place)]
        assert [await one.evaluate("document.body.textContent") for one in framed] in ([], [""])
        await other.evaluate("document.forms[0].submit()")
        await other.wait_for_url(f"{place}**")
        assert (await bus.size("mail")).paused is False
        assert 200 not in answers
        assert store.dashboard is not None
        assert "action=queue.pause" not in store.dashboard.output


async def test_a_broker_that_comes_back_is_shown_without_a_reload(
    store: Shop, bus: Bus, chrome: Browser
) -> None:
    link = await store.serve()
    async with page(chrome) as seen:
        await seen.page.goto(link)
        await show(seen.page, "#/overview")
        await seen.page.evaluate("window.same = true")
        for _ in range(2):
            await store.cluster.stop_broker()
            await expect(seen.page.get_by_text("Broker away")).to_be_visible()
            await expect(seen.page.locator(".pulse.away")).to_be_visible()
            await store.cluster.start_broker()
            await expect(seen.page.get_by_text("Broker away")).to_have_count(0)
        await expect(seen.page.get_by_text("Scheduler away")).to_have_count(0)
        await bus.dispatch(Anything(text=f"after {time.time()}"), timeout=60)
        await expect(seen.page.locator("nav .tally.bad")).to_have_text("1")
        await show(seen.page, "#/workers")
        await expect(seen.page.locator("main table").first).to_contain_text("web-1")
        assert await seen.page.evaluate("window.same") is True
        answers: list[Any] = [one for one in seen.complaints if "status of 503" not in one]
        assert answers == []
