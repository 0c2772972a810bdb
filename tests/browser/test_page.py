"""How the page behaves: many events, broken streams, keyboard, themes, widths, contrast; its pictures for the docs."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.axe import violations
from tests.browser.world import AWAKE, Gateway, go, open_page, watch
from tests.support.approvals import hand_over, reported
from tests.support.processes import event, wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = Path(os.environ.get("OPENCLAW_NATS_SCREENSHOTS") or ROOT / ".dev" / "screenshots")
KEPT = ROOT / "docs" / "screenshots"
WIDTHS = {"wide": (1440, 900), "narrow": (375, 740)}
SCRIPT_LIMIT = 120_000
PAGES = {
    "sign-in": "",
    "overview": "Overview",
    "events": "Events",
    "runs": "Runs",
    "run": "Run",
    "approvals": "Approvals",
    "pending": "Pending",
    "dead": "Dead letters",
    "delivery": "Delivery",
    "routes": "Routes",
    "route-form": "Route doorbell",
    "schedules": "Cron and timers",
    "logs": "Logs",
    "metrics": "Metrics",
    "sources": "Sources",
    "expectations": "Expectations",
    "alerts": "Alerts",
    "audit": "Audit log",
    "certificate": "Certificate",
    "settings": "Settings",
}


def rows(page: Page) -> list[int]:
    """The numbers of the events on the screen, top to bottom."""
    texts = page.locator(".list .what").all_inner_texts()
    return [int(found[1]) for text in texts if (found := re.search(r"number=(\d+)", text))]


def test_thousands_of_events_are_a_handful_of_rows_that_scroll_filter_and_stand_still(
    world: Gateway, context: BrowserContext
) -> None:
    page = open_page(context, world, "events")
    marked = f"m{time.time_ns()}"
    for start in range(0, 3000, 500):
        world.sidecar.post_events([event(f"{marked}-{n}", data={"number": n}) for n in range(start, start + 500)])
    expect(page.get_by_text("number=2999")).to_be_visible(timeout=AWAKE)
    assert page.locator(".list .row").count() < 60
    assert rows(page)[:3] == [2999, 2998, 2997]
    expect(page.get_by_text("2,000 events")).to_be_visible()
    page.locator(".list").evaluate("list => list.scrollTop = 1000 * 32")
    wait_until(lambda: 1998 in rows(page) or 1999 in rows(page), 5, "the rows at that place")
    page.wait_for_timeout(300)  # the list reports its place at the next frame
    first = page.locator(".list").evaluate("list => [...list.querySelectorAll('.what')].map(one => one.textContent)[8]")
    world.sidecar.post_events([event(f"{marked}-more-{n}", data={"number": 5000 + n}) for n in range(20)])
    page.wait_for_timeout(1500)
    seen = page.locator(".list").evaluate(
        "list => { const top = list.getBoundingClientRect().top;"
        " return [...list.querySelectorAll('.row')].filter(one => one.getBoundingClientRect().top >= top)"
        ".map(one => one.querySelector('.what').textContent) }"
    )
    assert first in seen, "what was being read has moved away"
    page.locator(".list").evaluate("list => list.scrollTop = 0")
    page.get_by_label("Text").fill(f"{marked}-77")
    wait_until(lambda: 77 in rows(page), 10, "one that is no longer among the newest 2,000")
    page.get_by_label("Text").fill(f'"{marked}-2977"')
    wait_until(lambda: rows(page) == [2977], 10, "the one that was looked for")
    page.get_by_label("Text").fill("")
    wait_until(lambda: len(rows(page)) > 5, 10, "all of them")
    page.get_by_role("button", name="Pause").click()
    world.sidecar.post_events([event(f"{marked}-later-{n}", data={"number": 6000 + n}) for n in range(3)])
    expect(page.get_by_role("button", name="Go on (3 new)")).to_be_visible(timeout=AWAKE)
    assert 6002 not in rows(page)
    page.get_by_role("button", name="Go on").click()
    wait_until(lambda: rows(page)[0] == 6002, 5, "the new events")
    page.get_by_label("Subject").fill("custom.*")
    wait_until(lambda: len(rows(page)) > 5, 10, "a pattern's events")
    page.get_by_label("Subject").fill("session.>")
    wait_until(lambda: rows(page) == [], 10, "no row")
    page.close()


def test_when_the_stream_breaks_it_polls_says_so_and_goes_live_again(world: Gateway, context: BrowserContext) -> None:
    page = context.new_page()
    page.route(re.compile(r"/api/live(\?|$)"), lambda route: route.abort())
    page.goto(f"{world.address}#/events")
    expect(page.get_by_text("Not live: asking every 5 s")).to_be_visible(timeout=AWAKE)
    polls: list[float] = []
    page.on("request", lambda one: polls.append(time.monotonic()) if "live/recent" in one.url else None)
    world.sidecar.publish("agent.events.custom.polled", {"number": 1})
    expect(page.get_by_text("custom.polled").first).to_be_visible(timeout=AWAKE)
    wait_until(lambda: page.wait_for_timeout(200) or len(polls) >= 3, 20, "three polls")
    assert 4 < polls[2] - polls[1] < 7
    page.unroute(re.compile(r"/api/live(\?|$)"))
    expect(page.get_by_text("Live", exact=True).first).to_be_visible(timeout=AWAKE)
    world.sidecar.publish("agent.events.custom.live.again", {"number": 2})
    expect(page.get_by_text("custom.live.again").first).to_be_visible(timeout=AWAKE)
    page.close()


def test_a_sidecar_that_is_away_leaves_what_was_there_marked_as_old(world: Gateway, context: BrowserContext) -> None:
    world.route("kept", "agent.events.custom.kept", "main")
    page = open_page(context, world, "routes")
    expect(page.get_by_role("row", name=re.compile("kept"))).to_be_visible()
    world.sidecar.kill()
    try:
        expect(page.get_by_text("may be out of date").first).to_be_visible(timeout=40_000)
        expect(page.get_by_role("row", name=re.compile("kept"))).to_be_visible()
        page.get_by_role("button", name="Disable kept").click()
        expect(page.get_by_text("does not answer").last).to_be_visible()
        go(page, "Overview")
        verdict = page.get_by_role("region", name="Verdict")
        expect(verdict).to_have_text("The sidecar does not answer: nothing is known of the rest.")
        go(page, "Metrics")  # nothing was loaded there yet
        expect(page.get_by_role("button", name="Try again").first).to_be_visible(timeout=AWAKE)
    finally:
        world.sidecar.start()
    expect(page.get_by_text("Live", exact=True).first).to_be_visible(timeout=40_000)
    page.get_by_role("button", name="Try again").first.click()
    expect(page.get_by_role("row", name=re.compile("gateway.startup"))).to_be_visible(timeout=AWAKE)
    world.call("DELETE", "/api/routes/kept")
    page.close()


def test_everything_is_reached_by_keyboard_and_focus_is_seen(world: Gateway, context: BrowserContext) -> None:
    page = open_page(context, world, "overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    seen = []
    for _ in range(18):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const one = document.activeElement; const style = getComputedStyle(one);"
            " return [one.textContent.trim() || one.id, style.outlineStyle + ' ' + style.outlineWidth] }"
        )
        seen.append(name.split("\n")[0].strip())
        assert outline.startswith(("solid 2px", "auto")), (name, outline)
    for name in ("Events", "Runs", "Routes", "Settings", "Sign out"):
        assert name in seen, seen
    page.get_by_role("link", name="Events").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Events")
    row = page.locator(".list .row").first
    row.focus()
    page.keyboard.press("Enter")
    expect(row).to_have_attribute("aria-expanded", "true")
    page.close()


def test_the_theme_follows_the_system_until_one_is_chosen(world: Gateway, context: BrowserContext) -> None:
    page = open_page(context, world, "overview")
    back = "getComputedStyle(document.documentElement).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(back)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(back)
    assert light != dark
    page.get_by_label("Theme").select_option("light")
    assert page.evaluate(back) == light
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.evaluate(back) == light
    page.close()


def test_times_are_relative_with_the_exact_one_on_hover(world: Gateway, context: BrowserContext) -> None:
    page = open_page(context, world, "overview")
    one = page.locator("time").first
    expect(one).to_have_text(re.compile(r"^(now|\d+ (s|min|h|d) ago)$"))
    expect(one).to_have_attribute("title", re.compile(r"\w{3}, \d\d \w{3} 20\d\d, \d\d:\d\d:\d\d CET"))
    page.close()


def test_the_script_is_small() -> None:
    import gzip

    scripts = list((ROOT / "dashboard" / "dist" / "assets").glob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in scripts) <= SCRIPT_LIMIT


@pytest.fixture(scope="module")
def shown(world: Gateway) -> dict[str, Any]:
    """Something on every page: an agent's work, routes with deliveries in every state, jobs, timers, dead letters."""
    world.turn('!call exec {"command": "echo hello"}\n!usage 1200 48\n!say Done.')
    world.turn('!call exec {"command": "exit 3"}\n!usage 900 20\n!say That failed.')
    world.route("doorbell", "agent.events.custom.door.>", "main", when="data.state == 'open'", flow={"debounce": "1s"})
    world.route("night report", "agent.events.cron.>", "main", flow={"batch": {"size": 20, "wait": "6h"}})
    away = {"kind": "webhook", "url": "http://127.0.0.1:1/alerts"}
    world.route("pager", "agent.events.tool.*.failed", away, retry={"attempts": 1})
    world.call("POST", "/api/cron", {"name": "morning", "cron": "30 7 * * MON-FRI", "timezone": "Europe/Berlin"})
    world.call("POST", "/api/cron", {"name": "backup check", "cron": "@daily", "timezone": "Asia/Tokyo"})
    world.call("POST", "/api/timers", {"name": "tea", "delay": "4m"})
    world.call("POST", "/api/timers", {"name": "passport runs out", "at": "2027-06-01T08:00:00Z"})
    asked = {"arguments": {"command": "systemctl restart doorbell"}, "rule": "exec(systemctl restart doorbell)"}
    hand_over(world, reported(key="0197-pictured-1", route="doorbell", session="agent:main:doorbell", **asked))
    for door in ("front", "back", "garage"):
        world.sidecar.publish(f"agent.events.custom.door.{door}", {"state": "open", "since": "08:15"})
    world.call("POST", "/api/cron/morning/run")
    world.turn('!call exec {"command": "exit 4"}\n!usage 950 25\n!say That failed, too.')
    wait_until(lambda: world.states()["dead"] and world.states()["delivered"] >= 3, 60, "dead and delivered ones")
    wait_until(lambda: world.states()["pending"], 30, "a pending one")
    for source in ({"name": "github", "type": "github"}, {"name": "camera", "type": "unsigned"}):
        status, made = world.call("POST", "/api/sources", {**source, "secret": "a-secret-for-pictures"})
        assert status == 201, made
        body = b'{"event": "motion", "camera": "porch"}'
        world.sidecar.request("POST", made["path"], body, {"content-type": "application/json"}, key="")
    world.call("POST", "/api/sources/github/test", {})
    channel = {"name": "phone", "to": "http://127.0.0.1:1/x", "window": "0s", "format": "text"}
    assert world.call("POST", "/api/alerts", channel)[0] == 201
    run = next(one["runid"] for one in world.events() if "exec" in one["subject"])
    delivered = world.sidecar.get("/api/deliveries?state=delivered")[1]["deliveries"][0]["id"]
    return {"run": run, "delivery": delivered}


def place_of(name: str, shown: dict[str, Any]) -> str:
    """The address of a page behind #."""
    places = {
        "run": f"runs/{shown['run']}",
        "delivery": f"deliveries/{shown['delivery']}",
        "route-form": "routes/edit/doorbell",
    }
    return places.get(name, name)


@pytest.fixture(scope="module", params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=list(WIDTHS))
def width(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dressed(browser: Browser, world: Gateway, theme: str, width: str) -> Iterator[BrowserContext]:
    """A signed-in browser of that width, in that theme."""
    w, h = WIDTHS[width]
    one = browser.new_context(
        viewport={"width": w, "height": h}, color_scheme=theme, locale="en-GB", timezone_id="Europe/Berlin"
    )
    page = one.new_page()
    page.goto(world.link())
    page.get_by_role("heading", name="Overview").wait_for()
    page.close()
    yield one
    one.close()


@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_fits_is_readable_asks_nobody_else_and_is_pictured(
    world: Gateway, dressed: BrowserContext, browser: Browser, shown: dict[str, Any], theme: str, width: str, name: str
) -> None:
    complaints: list[str] = []
    if name == "sign-in":
        w, h = WIDTHS[width]
        context = browser.new_context(viewport={"width": w, "height": h}, color_scheme=theme)
        page = context.new_page()
        page.goto(world.address)
        expect(page.get_by_text("You are not signed in.")).to_be_visible()
    else:
        context = dressed
        page = context.new_page()
        watch(page, complaints, world.gateway.url)
        page.goto(f"{world.address}#/{place_of(name, shown)}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(PAGES[name])
        expect(page.get_by_text("Live", exact=True).first).to_be_visible(timeout=AWAKE)
        if name in ("pending", "dead"):
            page.locator(".line").first.click()
            expect(page.get_by_text("History")).to_be_visible()
        if name == "sources":
            page.get_by_label("Source github", exact=True).get_by_role("button", name="Address").click()
            expect(page.get_by_text("the header X-Hub-Signature-256 is missing")).to_be_visible(timeout=AWAKE)
        if name == "alerts":
            expect(page.get_by_label("Wrong now")).to_contain_text("dead letters", timeout=AWAKE)
            phone = page.get_by_label("Channel phone", exact=True)
            phone.get_by_role("button", name="Messages").click()
            expect(phone).to_contain_text("new alert", timeout=AWAKE)
            expect(phone).to_contain_text("failing", timeout=AWAKE)
        if name == "events":
            page.get_by_role("button", name=re.compile("exec")).first.click()
            expect(page.get_by_label("Event", exact=True)).to_be_visible()
        expect(page.get_by_text("Loading …")).to_have_count(0, timeout=AWAKE)
        page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    picture = Image.open(io.BytesIO(page.screenshot()))
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20, "the picture is empty"
    PICTURES.mkdir(parents=True, exist_ok=True)
    small = picture.convert("RGB").quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(PICTURES / f"{name}-{width}-{theme}.png", optimize=True)
    serious = violations(page)
    assert serious == []
    assert complaints == []
    page.close()
    if name == "sign-in":
        context.close()


def test_the_docs_hold_a_picture_of_every_page_in_both_themes_and_widths() -> None:
    wanted = {f"{name}-{width}-{theme}.png" for name in PAGES for width in WIDTHS for theme in ("light", "dark")}
    assert {path.name for path in KEPT.glob("*.png")} == wanted
    for path in KEPT.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == WIDTHS["narrow" if "-narrow-" in path.name else "wide"], path.name
        assert path.stat().st_size < 120_000, path.name
