"""The page of approvals: what waits is counted, shown and answered, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.world import AWAKE, AtSidecar, Gateway, open_page
from tests.support.approvals import hand_over, reported
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtSidecar]:
    one = AtSidecar(tmp_path_factory.mktemp("approvals-page"))
    try:
        one.start()
        yield one
    finally:
        one.close()


def test_calls_that_wait_are_counted_shown_and_answered(world: Gateway, context: BrowserContext) -> None:
    world.route("post office", "agent.events.custom.post", "agent:main:post", guard="ask")
    where = {"route": "post office", "session": "agent:main:post"}
    first, second, third = (reported(key=f"0197-browser-{number}", **where) for number in range(3))
    hostile = {"text": "<img src=x onerror=alert(1)>", "password": "hunter2"}
    hand_over(world, {**first, "rule": "", "arguments": hostile}, second, third)
    numbers = {one["digest"]: one["id"] for one in world.call("GET", "/api/approvals")[1]["approvals"]}
    page = open_page(context, world, "approvals")
    badge = page.get_by_role("link", name="Approvals").locator(".badge")
    before = world.call("GET", "/api/approvals")[1]["pending"]
    expect(badge).to_have_text(str(before), timeout=AWAKE)
    card = page.get_by_label(f"Approval {numbers[first['digest']]}", exact=True)
    expect(card).to_contain_text("<img src=x onerror=alert(1)>")
    expect(card).not_to_contain_text("hunter2")
    expect(card.get_by_role("button", name="Always")).to_have_count(0)
    card.get_by_role("button", name="Deny").click()
    expect(card).to_have_count(0, timeout=AWAKE)
    expect(badge).to_have_text(str(before - 1), timeout=AWAKE)
    card = page.get_by_label(f"Approval {numbers[second['digest']]}", exact=True)
    card.get_by_role("button", name="Always").click()
    page.get_by_role("button", name="Always approve").click()
    expect(card).to_have_count(0, timeout=AWAKE)
    assert second["rule"] in world.call("GET", "/api/routes/post%20office")[1]["tools"]
    # Somebody else answers first: the page says so.
    card = page.get_by_label(f"Approval {numbers[third['digest']]}", exact=True)
    expect(card).to_be_visible()
    page.route("**/api/approvals?*", lambda route: route.abort())
    world.call("POST", f"/api/approvals/{numbers[third['digest']]}/deny", {})
    card.get_by_role("button", name="Approve once").click()
    expect(page.get_by_text("the first answer counts")).to_be_visible()
    page.unroute("**/api/approvals?*")
    page.get_by_label("State").select_option("denied")
    card = page.get_by_label(f"Approval {numbers[first['digest']]}", exact=True)
    expect(card).to_contain_text("denied by dashboard", timeout=AWAKE)


def test_the_brake_holds_all_turns_and_lets_them_go(world: AtSidecar, context: BrowserContext) -> None:
    world.route("held", "agent.events.custom.held", "agent:main:held", guard="off")
    page = open_page(context, world, "overview")
    brake = page.get_by_label("Brake", exact=True)
    brake.get_by_role("button", name="Pause all turns").click()
    expect(brake.get_by_role("button", name="Resume all turns")).to_be_visible(timeout=AWAKE)
    expect(brake).to_contain_text("paused", ignore_case=True)
    world.publish("held", {"n": 1})
    wait_until(lambda: [one["route"] for one in world.pending()] == ["held"], 20, "the delivery that waits")
    assert [1] not in world.numbers()
    brake.get_by_role("button", name="Resume all turns").click()
    expect(brake.get_by_role("button", name="Pause all turns")).to_be_visible(timeout=AWAKE)
    wait_until(lambda: [1] in world.numbers(), 30, "the turn")
    world.call("POST", "/api/pause", {"route": "held", "reason": "night"})
    expect(brake).to_contain_text("night", timeout=AWAKE)
    brake.get_by_label("Resume route held").click()
    expect(brake).not_to_contain_text("night", timeout=AWAKE)
