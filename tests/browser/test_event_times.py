"""The page of events over time: the range narrowed by hand, what comes live, the pages of what came before."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.listed import lines, query_of, shows
from tests.browser.world import AWAKE, AtSidecar, open_page
from tests.support.processes import event, wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtSidecar]:
    one = AtSidecar(tmp_path_factory.mktemp("event-times"))
    try:
        one.start()
        yield one
    finally:
        one.close()


def test_dragging_in_the_histogram_narrows_the_range_and_back_widens_it(
    world: AtSidecar, context: BrowserContext
) -> None:
    begin = datetime.now(UTC)
    world.publish("drag", {"n": 1})
    time.sleep(3)
    world.publish("drag", {"n": 2})
    time.sleep(1)
    end = datetime.now(UTC)
    place = f"events?subject=custom.drag&from={begin:%Y-%m-%dT%H:%M:%S.%f}Z&to={end:%Y-%m-%dT%H:%M:%S.%f}Z"
    page = open_page(context, world, place.replace("+00:00", ""))
    both = ["custom.drag n=2", "custom.drag n=1"]
    shows(page, both)
    plot = page.get_by_role("img", name=re.compile("2 events, 0 failed"))
    drag(page, plot, 0.0, 0.5)
    shows(page, ["custom.drag n=1"])
    said = query_of(page)
    middle = begin + (end - begin) / 2
    assert moment(said["from"]) - begin < timedelta(milliseconds=5)
    assert abs(moment(said["to"]) - middle) < (end - begin) / 50
    page.reload()
    shows(page, ["custom.drag n=1"])
    expect(page.get_by_role("combobox", name="Range")).to_have_value("own")
    expect(page.get_by_label("From", exact=True)).not_to_have_value("")
    page.go_back()
    shows(page, both)
    drag(page, plot, 0.98, 0.5)  # from right to left, too
    shows(page, ["custom.drag n=2"])
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()  # the range is over: nothing more comes
    page.get_by_role("combobox", name="Range").select_option("1h")
    shows(page, both)
    assert query_of(page) == {"subject": "custom.drag", "range": "1h"}
    expect(page.get_by_role("button", name="Pause")).to_be_enabled()
    page.close()


def drag(page: Page, plot: Locator, first: float, last: float) -> None:
    """From one part of a plot's width to another with the mouse; what would be chosen is written next to it."""
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * first + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * last - 2, box["y"] + 25, steps=5)
    expect(page.locator("figcaption")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d \u2013 \d\d:\d\d:\d\d"))
    page.mouse.up()


def moment(text: str) -> datetime:
    """A moment of an address."""
    return datetime.fromisoformat(text)


def test_what_comes_is_shown_when_it_matches_and_a_pause_holds_it(world: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, world, "events?subject=custom.live.*&text=wanted")
    expect(page.get_by_text("No event matches.")).to_be_visible()
    for number, word in enumerate(("wanted", "other", "wanted")):
        world.publish("live.a", {"n": number, "word": word})
    world.publish("live.a.b", {"n": 3, "word": "wanted"})
    shows(page, ["custom.live.a n=2 word=wanted", "custom.live.a n=0 word=wanted"])
    page.get_by_role("button", name="Pause").click()
    world.publish("live.b", {"n": 4, "word": "wanted"})
    expect(page.get_by_role("button", name="Go on (1 new)")).to_be_visible(timeout=AWAKE)
    assert len(lines(page)) == 2
    page.get_by_role("button", name="Go on").click()
    shows(page, ["custom.live.b n=4 word=wanted", "custom.live.a n=2 word=wanted", "custom.live.a n=0 word=wanted"])
    page.close()


def test_older_events_follow_page_by_page_to_the_last(world: AtSidecar, context: BrowserContext) -> None:
    world.sidecar.post_events([event(f"old-{n}", "agent.events.custom.many", data={"n": n}) for n in range(450)])
    page = open_page(context, world, "events?subject=custom.many")
    state = page.locator(".head").get_by_role("status")
    expect(state).to_have_text("newest 200 events")
    page.get_by_role("button", name="Older events").click()
    expect(state).to_have_text("newest 400 events")
    world.sidecar.publish("agent.events.custom.many", {"n": 450})
    expect(state).to_have_text("newest 401 events", timeout=AWAKE)
    page.get_by_role("button", name="Older events").click()
    expect(state).to_have_text("451 events")
    expect(page.get_by_text("That is all, back to")).to_be_visible()
    page.locator(".list").evaluate("list => list.scrollTop = list.scrollHeight")
    wait_until(lambda: page.wait_for_timeout(50) or lines(page)[-1:] == ["custom.many n=0"], 5, "the oldest")
    page.close()


def test_a_pattern_that_is_none_is_said(world: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, world, "events")
    page.get_by_label("Subject").fill("tool..x")
    expect(page.get_by_role("alert")).to_contain_text("empty token")
    page.get_by_label("Subject").fill("tool.>")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.close()
