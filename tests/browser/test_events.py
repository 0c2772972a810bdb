"""The page of events: what is looked for stands in the address, views are kept, everything goes by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.axe import violations
from tests.browser.listed import query_of, shows
from tests.browser.world import AtSidecar, open_page
from tests.support.processes import event

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

OF_MAIN = {"agentid": "main", "sessionkey": "agent:main:main", "runid": "run-main"}
OF_OPS = {"agentid": "ops", "sessionkey": "agent:ops:night", "runid": "run-ops"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtSidecar]:
    one = AtSidecar(tmp_path_factory.mktemp("events-page"))
    try:
        one.start()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def full(world: AtSidecar) -> AtSidecar:
    """A world with events of two agents, of the operator, of doctor."""
    ran = {"tool": "exec", "params": {"command": "df -h /srv"}, "durationMs": 32, "success": True}
    broke = {"tool": "exec", "params": {"command": "reboot"}, "success": False, "error": "exit code 4"}
    asked = {"model": "gpt-x", "usage": {"input": 12400, "output": 512}, "cost": 0.045, "durationMs": 1320}
    world.sidecar.post_events(
        [
            event("ran", "agent.events.tool.exec.completed", data=ran, **OF_MAIN),
            event("broke", "agent.events.tool.exec.failed", data=broke, **OF_OPS),
            event("asked", "agent.events.llm.output", data={**asked, "success": True}, **OF_OPS),
            event("probe", "agent.events.plugin.probe", data={"probe": "x"}),
        ]
    )
    world.publish("door.front", {"state": "open", "since": "08:15"})
    return world


RAN = 'tool.exec.completed ✓ exec "df -h /srv" · 32 ms'
BROKE = 'tool.exec.failed ✗ exec exit 4 "reboot"'
ASKED = "llm.output ✓ gpt-x 12.4k → 512 tokens · $0.045 · 1.3 s"
PROBE = "plugin.probe probe=x"
DOOR = "custom.door.front state=open since=08:15"


def test_each_kind_has_its_line_and_doctors_events_are_shown_only_when_asked_for(
    full: AtSidecar, context: BrowserContext
) -> None:
    page = open_page(context, full, "events")
    shows(page, [DOOR, ASKED, BROKE, RAN])
    page.get_by_label("Doctor's test events").check()
    shows(page, [DOOR, PROBE, ASKED, BROKE, RAN])
    page.close()


def test_every_filter_stands_in_the_address_and_a_reload_keeps_it(full: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, full, "events")
    filters: list[tuple[str, str, dict[str, str], list[str]]] = [
        ("Text", "DF srv", {"text": "DF srv"}, [RAN]),
        ("Subject", "tool.>", {"subject": "tool.>"}, [BROKE, RAN]),
        ("Kind", "llm", {"kind": "llm"}, [ASKED]),
        ("Agent", "ops", {"agent": "ops"}, [ASKED, BROKE]),
        ("Said by", "operator", {"origin": "operator"}, [DOOR]),
        ("Session", "agent:main:main", {"session": "agent:main:main"}, [RAN]),
        ("Range", "1h", {"range": "1h"}, [DOOR, ASKED, BROKE, RAN]),
    ]
    for label, value, said, expected in filters:
        page.goto(f"{full.address}#/events")
        shows(page, [DOOR, ASKED, BROKE, RAN])
        box = page.get_by_role("combobox", name=label, exact=True)
        field = box if label != "Session" and box.count() else page.get_by_label(label, exact=True)
        if label in ("Text", "Subject", "Session"):
            field.fill(value)
        else:
            field.select_option(value)
        shows(page, expected)
        assert query_of(page) == said
        page.reload()
        shows(page, expected)
        expect(field).to_have_value(value)
    page.goto(f"{full.address}#/events")
    page.get_by_label("Only what failed").check()
    shows(page, [BROKE])
    page.locator(".list .place > .row").click()
    page.get_by_role("button", name="Only this run").click()
    assert query_of(page) == {"failed": "true", "run": "run-ops"}
    page.get_by_label("Only what failed").uncheck()
    shows(page, [ASKED, BROKE])
    other = context.new_page()
    other.goto(page.url)  # as it was sent to somebody else
    shows(other, [ASKED, BROKE])
    other.get_by_role("button", name="Any run").click()
    shows(other, [DOOR, ASKED, BROKE, RAN])
    other.close()
    page.close()


def test_a_view_is_kept_by_name_and_goes_again(full: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, full, "events?kind=tool&failed=true")
    page.get_by_role("button", name="Save as a view").click()
    page.get_by_label("Name of the view").fill("broken tools")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="View", exact=True)).to_have_value("broken tools")
    page.get_by_label("Only what failed").uncheck()
    expect(page.get_by_role("combobox", name="View", exact=True)).to_have_value("")
    page.get_by_role("button", name="Save as a view").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Save as a view")).to_be_visible()
    page.goto(f"{full.address}#/events")
    page.reload()
    page.get_by_role("combobox", name="View", exact=True).select_option("broken tools")
    shows(page, [BROKE])
    assert query_of(page) == {"kind": "tool", "failed": "true"}
    page.get_by_role("button", name="Remove this view").click()
    expect(page.get_by_role("combobox", name="View", exact=True)).to_have_count(0)
    page.reload()
    shows(page, [BROKE])
    expect(page.get_by_role("combobox", name="View", exact=True)).to_have_count(0)
    page.close()


def test_keys_search_move_open_and_close(full: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, full, "routes")
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.get_by_role("heading", level=1)).to_have_text("Events")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1)).to_have_text("Routes")
    page.keyboard.press("/")
    field = page.get_by_label("Text", exact=True)
    expect(field).to_be_focused()
    page.keyboard.type("exec ge?")
    expect(field).to_have_value("exec ge?")
    page.keyboard.press("Home")
    for _ in range(8):
        page.keyboard.press("Delete")
    page.keyboard.type("df srv")
    shows(page, [RAN])
    field.fill("exec")
    shows(page, [BROKE, RAN])
    list_of = page.locator(".list")
    list_of.focus()
    page.keyboard.press("Tab")  # one stop for all rows
    rows = list_of.locator(".place > .row")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(rows.nth(1)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Timeline of its run")).to_be_focused()
    page.keyboard.press("Escape")
    expect(rows.nth(1)).to_be_focused()
    expect(rows.nth(1)).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowUp")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.close()
