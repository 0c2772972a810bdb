"""Why did my route not fire? Answered on the page in three clicks, for a call of a tool that a real Gateway made."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.world import AWAKE, Gateway, go, open_page
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


def test_the_route_names_the_part_of_its_condition_that_said_no(world: Gateway, context: BrowserContext) -> None:
    world.route("web-only", "agent.events.tool.*.failed", "main", when="has(data.tool) && data.tool == 'web'")
    world.turn('!call exec {"command": "exit 3"}\n!say That failed.')
    wait_until(lambda: world.sidecar.events("?subject=agent.events.tool.*.failed"), 30, "the failed call")
    page = open_page(context, world)
    go(page, "Routes")  # 1
    page.get_by_role("link", name="web-only").click()  # 2
    answer = page.get_by_role("region", name="Why did it not fire?")
    answer.get_by_role("button", name="Why did it not fire?").click()  # 3
    expect(answer).to_contain_text("data.tool == 'web' is false: data.tool is \"exec\"", timeout=AWAKE)
    expect(answer).to_contain_text("✗ condition")
    expect(answer).to_contain_text("✓ pattern")
    expect(answer).to_contain_text("0 of 1 event on its pattern went out")
    world.call("DELETE", "/api/routes/web-only")


def test_the_cost_of_a_route_stands_beside_its_turns(world: Gateway, context: BrowserContext) -> None:
    world.route("costly", "agent.events.custom.costly", "main", instruction="!usage 1200 48")
    world.sidecar.publish("agent.events.custom.costly", {"n": 1})
    wait_until(lambda: [one for one in _spent(world) if one["name"] == "costly"], 60, "its cost")
    page = open_page(context, world)
    go(page, "Metrics")  # 1
    table = page.get_by_role("region", name="What turns cost").first
    table.get_by_label("by", exact=True).select_option("route")  # 2
    expect(table.get_by_role("row", name="costly")).to_contain_text("1", timeout=AWAKE)
    world.call("DELETE", "/api/routes/costly")


def _spent(world: Gateway) -> list[dict[str, object]]:
    return list(world.call("GET", "/api/spending?by=route&since=1h")[1]["lines"])
