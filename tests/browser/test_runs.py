"""Which event caused this turn, what did it do, what did it cost? Answered on the page of runs, by clicking."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.world import AWAKE, Gateway, go, open_page
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


def test_three_clicks_lead_from_the_overview_to_the_event_that_woke_a_turn(
    world: Gateway, context: BrowserContext
) -> None:
    world.turn('!call exec {"command": "echo a chat"}\n!usage 700 30\n!say Done.')
    world.route("oven", "agent.events.custom.oven.>", "main")
    world.sidecar.publish("agent.events.custom.oven.hot", {"degrees": 230})
    wait_until(lambda: world.call("GET", "/api/runs?route=oven&result=ok")[1]["runs"], 90, "the run")
    page = open_page(context, world, "overview")
    go(page, "Runs")
    woken = page.get_by_role("row", name=re.compile("oven"))
    expect(woken).to_be_visible(timeout=AWAKE)
    expect(woken).to_contain_text("ok")
    chat = page.get_by_role("row", name=re.compile("a chat, or OpenClaw itself")).first
    expect(chat).to_contain_text("1,460")  # two calls of its model
    woken.get_by_role("link").first.click()
    by = page.get_by_role("region", name="Woken by")
    expect(by).to_contain_text("custom.oven.hot", timeout=AWAKE)
    by.get_by_role("link", name=re.compile("^delivery")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delivery")
    expect(page.get_by_text("custom.oven.hot").first).to_be_visible(timeout=AWAKE)
    page.close()


def test_filters_are_in_the_address_and_stay_when_it_is_reloaded(world: Gateway, context: BrowserContext) -> None:
    page = open_page(context, world, "runs")
    page.get_by_label("Woken by").select_option("oven")
    expect(page.get_by_role("row", name=re.compile("a chat"))).to_have_count(0, timeout=AWAKE)
    assert page.url.endswith("#/runs?route=oven")
    page.get_by_label("Result").select_option("failed")
    expect(page.get_by_text("No run is found.")).to_be_visible(timeout=AWAKE)
    page.reload()
    expect(page.get_by_label("Result")).to_have_value("failed")
    expect(page.get_by_text("No run is found.")).to_be_visible(timeout=AWAKE)
    page.get_by_label("Result").select_option("ok")
    expect(page.get_by_role("row", name=re.compile("oven"))).to_be_visible(timeout=AWAKE)
    page.close()
    linked = open_page(context, world, "runs?session=agent:main:main")
    linked.get_by_role("button", name=re.compile("^Session")).click()
    expect(linked.get_by_role("button", name=re.compile("^Session"))).to_have_count(0)
    assert linked.url.endswith("#/runs")
    linked.close()
