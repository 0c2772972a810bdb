"""What can be done with an event of the list, and that nothing which it holds does anything to the page."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Dialog, Page, expect

from tests.browser.axe import violations
from tests.browser.listed import lines, shows
from tests.browser.world import AtSidecar, open_page, watch
from tests.support.processes import API_KEY, event, wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtSidecar]:
    one = AtSidecar(tmp_path_factory.mktemp("event-actions"))
    try:
        one.start()
        yield one
    finally:
        one.close()


def test_a_route_begins_with_an_event(world: AtSidecar, context: BrowserContext) -> None:
    world.publish("window.attic", {"state": "open", "since": "08:15", "temperature": 12.5})
    page = open_page(context, world, "events?subject=custom.window.attic")
    page.locator(".list .place > .row").click()
    page.get_by_role("link", name="Make a route").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("New route")
    expect(page.get_by_label("Name")).to_have_value("window attic")
    expect(page.get_by_label("Pattern")).to_have_value("agent.events.custom.window.attic")
    expect(page.get_by_label("Condition (CEL), optional")).to_have_value("data.state == 'open'")
    expect(page.get_by_label("Example", exact=True)).to_contain_text('"temperature": 12.5')
    page.get_by_role("button", name="Try it out").click()
    trial = page.get_by_role("region", name="Dry run")
    expect(trial).to_contain_text("1 of 1 event match and make 1 turn")
    page.get_by_label("Condition (CEL), optional").fill("data.state == 'closed'")
    page.get_by_role("button", name="Try it out").click()
    expect(trial).to_contain_text("0 of 1 event match")
    page.get_by_label("Condition (CEL), optional").fill("data.state == 'open'")
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name=re.compile("window attic"))).to_be_visible()
    made = world.call("GET", "/api/routes/window%20attic")[1]
    assert (made["pattern"], made["when"]) == ("agent.events.custom.window.attic", "data.state == 'open'")
    world.call("DELETE", "/api/routes/window%20attic")
    page.close()


def test_an_event_is_published_again_as_a_new_one_and_the_page_says_so(
    world: AtSidecar, context: BrowserContext
) -> None:
    broke = {"tool": "exec", "success": False, "error": "exit code 4"}
    world.sidecar.post_events([event("broke", "agent.events.tool.exec.failed", data=broke)])
    world.sidecar.request(
        "POST",
        "/api/events?origin=outside",
        json.dumps(event("told", "agent.events.custom.again", data={"n": [1, {"x": "ü"}]})).encode(),
        {"Content-Type": "application/cloudevents+json"},
    )
    page = open_page(context, world, "events?subject=custom.again")
    page.locator(".list .place > .row").click()
    page.get_by_role("button", name="Publish again").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("on agent.events.custom.again as a new event, said by you")
    question.get_by_role("button", name="Cancel").click()
    assert len(world.sidecar.events("?subject=agent.events.custom.again")) == 1
    page.get_by_role("button", name="Publish again").click()
    question.get_by_role("button", name="Publish as a new event").click()
    expect(page.get_by_text("It is published as a new event, number")).to_be_visible()
    wait_until(lambda: page.wait_for_timeout(50) or len(lines(page)) == 2, 10, "the new one in the list")
    found = world.sidecar.get("/api/events/search?subject=agent.events.custom.again")[1]["events"]
    assert [one["origin"] for one in found] == ["operator", "outside"]
    assert found[0]["event"]["data"] == found[1]["event"]["data"]
    assert found[0]["event"]["id"] != found[1]["event"]["id"]
    page.goto(f"{world.address}#/events?kind=tool&failed=true")
    shows(page, ["tool.exec.failed ✗ exec exit 4"])
    page.locator(".list .place > .row").first.click()
    expect(page.get_by_text("What the Gateway reports is not published again")).to_be_visible()
    expect(page.get_by_role("button", name="Publish again")).to_be_disabled()
    page.close()


@pytest.mark.parametrize("clipboard", [True, False], ids=["a clipboard", "none, as over plain http"])
def test_an_event_is_copied_as_json_as_curl_and_as_a_link(
    world: AtSidecar, context: BrowserContext, tmp_path: Path, clipboard: bool
) -> None:
    key = tmp_path / ".openclaw" / "nats" / "api-key"
    key.parent.mkdir(parents=True)
    key.write_text(API_KEY + "\n")
    subject = f"agent.events.custom.copied.{'new' if clipboard else 'old'}"
    data = {"said": 'it\'s "quoted" $(id) `id` \\n \u202e ü', "n": 1}
    world.sidecar.publish(subject, data)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_page(context, world, f"events?subject={subject}")
    page.locator(".list .place > .row").click()
    if not clipboard:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")

    def copied(button: str, note: str) -> str:
        page.get_by_role("button", name=button).click()
        expect(page.get_by_text(f"{note} is copied")).to_be_visible()
        return pasted(page)

    [stored] = world.sidecar.events(f"?subject={subject}")
    assert json.loads(copied("Copy JSON", "The JSON")) == stored
    command = copied("Copy as curl", "A command for curl")
    done = subprocess.run(
        ["sh", "-c", command], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    first, second = world.sidecar.events(f"?subject={subject}")
    assert first["data"] == second["data"] == data
    link = copied("Copy link", "The link")
    other = context.new_page()
    other.goto(link)
    expect(other.get_by_role("heading", level=1)).to_have_text(re.compile(r"^Event \d+$"))
    expect(other.get_by_label("Event", exact=True)).to_contain_text(stored["id"])
    other.close()
    page.close()


def pasted(page: Page) -> str:
    """What Control+V brings, in a field that keeps its lines."""
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), { id: 'pasted' }))")
    page.locator("#pasted").focus()
    page.keyboard.press("Control+V")
    text = page.locator("#pasted").input_value()
    page.evaluate("document.getElementById('pasted').remove()")
    return text


@pytest.mark.parametrize("width", [1280, 390])
def test_what_an_event_holds_neither_runs_nor_restyles_nor_hides(
    world: AtSidecar, context: BrowserContext, width: int
) -> None:
    hostile = {
        "html": "<img src=x onerror=alert(1)><script>alert(2)</script><style>*{display:none}</style>",
        "<b onclick=alert(3)>": "javascript:alert(4)",
        "turned": "rm \u202egnp.exe",
        "screen": "\x1b[2J\x00\x07end",
        "hidden": "a\u200bb",
        "word": "W" * 500,
    }
    subject = f"agent.events.custom.{'x' * 150}.{width}"
    claims = {"sessionkey": "agent:<b>:" + "s" * 300, "agentid": "<img src=x onerror=alert(5)>", "runid": "r" * 300}
    world.sidecar.post_events([event(f"hostile-{width}", subject, data=hostile, **claims)])
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 860})
    complaints: list[str] = []
    watch(page, complaints, world.sidecar.url)

    def opened(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", opened)
    page.goto(f"{world.address}#/events?subject={subject}")
    row = page.locator(".list .place > .row")
    row.click()
    shown = page.get_by_label("Event", exact=True)
    expect(shown).to_contain_text("<script>alert(2)</script>")
    expect(shown).to_contain_text("rm ⟨U+202E⟩gnp.exe")
    expect(shown).to_contain_text("\\u001b[2J\\u0000\\u0007end")
    expect(shown).to_contain_text("a⟨U+200B⟩b")
    expect(row).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main :is(img, script, style, b)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    parts = page.locator(".detail, .detail *").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.outerHTML)"
    )
    assert parts == []
    page.get_by_role("button", name="Only this session").click()
    expect(page).to_have_url(re.compile("session="))
    page.wait_for_timeout(500)  # what is typed is looked for a moment later
    expect(page.locator(".list.loading")).to_have_count(0)
    expect(row).to_be_visible()
    assert violations(page) == []
    assert complaints == []
    page.close()


def test_an_event_that_only_the_stream_has_is_shown_by_its_number(world: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, world, "events/999999")
    expect(page.get_by_text("The stream has no event of this number")).to_be_visible()
    nothing: dict[str, object] = {"events": [], "cursor": None, "lookedBackTo": None, "index": {}}
    page.route("**/api/events/search?*", lambda route: route.fulfill(json=nothing))
    world.publish("alone")
    page.goto(f"{world.address}#/events/1")
    expect(page.get_by_label("Event", exact=True)).to_contain_text('"subject": "agent.events')
    page.close()
