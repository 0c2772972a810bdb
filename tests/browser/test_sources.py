"""The page of sources: an address is made, what comes is counted with why, what nothing proves is released by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.catalog import SCHEMES
from tests.browser.test_approvals import AtSidecar
from tests.browser.world import AWAKE, open_page
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtSidecar]:
    one = AtSidecar(tmp_path_factory.mktemp("sources-page"))
    try:
        one.start()
        yield one
    finally:
        one.close()


def test_a_source_is_made_its_requests_are_shown_and_its_secret_once(world: AtSidecar, context: BrowserContext) -> None:
    page = open_page(context, world, "sources")
    page.get_by_role("button", name="Add a source").click()
    form = page.get_by_label("A new source")
    form.get_by_label("Name").fill("hub")
    form.get_by_label("Type").select_option("github")
    expect(form).to_contain_text("Payload URL")
    form.get_by_role("button", name="Add", exact=True).click()
    secret = page.get_by_role("status").locator("code").inner_text()
    assert len(secret) == 64
    card = page.get_by_label("Source hub", exact=True)
    address = card.locator("code").inner_text()
    path = world.call("GET", "/api/sources/hub")[1]["path"]
    assert address == world.sidecar.url + path
    scheme = SCHEMES["github"]
    hostile = {"x-github-event": "<img src=x onerror=alert(1)>"}
    proof = scheme.sign(scheme.sample, secret, SourceOptions(), time.time(), "d1")
    headers = {"content-type": "application/json", **hostile, **proof}
    assert world.sidecar.request("POST", path, scheme.sample, headers, key="")[0] == 202
    assert world.sidecar.request("POST", path, scheme.sample + b" ", headers, key="")[0] == 401
    expect(card).to_contain_text("1 accepted", timeout=AWAKE)
    expect(card).to_contain_text("1 refused", timeout=AWAKE)
    expect(card).to_contain_text("the signature is not right", timeout=AWAKE)
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="I have it").click()
    page.reload()
    expect(page.get_by_label("Source hub", exact=True)).to_be_visible(timeout=AWAKE)
    assert secret not in page.content()
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("paused", timeout=AWAKE)
    assert world.call("GET", "/api/sources/hub")[1]["paused"] is True
    card.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0, timeout=AWAKE)
    assert world.call("GET", "/api/sources/hub")[0] == 404


def test_address_and_secrets_are_copied_and_another_secret_is_shown_once(
    world: AtSidecar, context: BrowserContext
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_page(context, world, "sources")
    reader = open_page(context, world, "logs")

    def copied() -> str:
        reader.bring_to_front()
        text = reader.evaluate("navigator.clipboard.readText()")
        page.bring_to_front()
        return str(text)

    page.get_by_role("button", name="Add a source").click()
    form = page.get_by_label("A new source")
    form.get_by_label("Name").fill("shop")
    form.get_by_label("Type").select_option("token")
    form.get_by_role("button", name="Add", exact=True).click()
    shown = page.get_by_role("status").filter(has_text="The secret of shop")
    shown.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    first = copied()
    assert first == shown.locator("code").inner_text()
    card = page.get_by_label("Source shop", exact=True)
    card.get_by_role("button", name="Copy").click()
    before = world.call("GET", "/api/sources/shop")[1]["path"]
    wait_until(lambda: copied() == world.sidecar.url + before, 10, "the address on the clipboard")

    def send(path: str, secret: str, number: int) -> int:
        headers = {"authorization": f"Bearer {secret}"}
        return world.sidecar.request("POST", path, b'{"n": %d}' % number, headers, key="")[0]

    card.get_by_role("button", name="Another secret").click()
    card.get_by_label("Another secret for shop").get_by_role("button", name="Replace").click()
    expect(shown.locator("code")).not_to_have_text(first, timeout=AWAKE)
    second = shown.locator("code").inner_text()
    assert [send(before, first, 1), send(before, second, 2)] == [202, 202]
    card.get_by_role("button", name="Another secret").click()
    again = card.get_by_label("Another secret for shop")
    again.get_by_label("The one before counts").select_option("no longer")
    again.get_by_label("a new address, too").check()
    again.get_by_label("Secret", exact=True).fill("my-own-secret-of-shop")
    again.get_by_role("button", name="Replace").click()
    expect(shown).to_have_count(0, timeout=AWAKE)  # it is known already
    after = world.call("GET", "/api/sources/shop")[1]["path"]
    expect(card.locator("code")).to_have_text(world.sidecar.url + after, timeout=AWAKE)
    own = "my-own-secret-of-shop"
    assert [send(after, second, 3), send(before, own, 4), send(after, own, 5)] == [401, 401, 202]
    assert own not in page.content()
    page.close()
    # On a plain http address beyond this machine browsers have no navigator.clipboard.
    page = context.new_page()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto(f"{world.address}#/sources")
    card = page.get_by_label("Source shop", exact=True)
    card.get_by_role("button", name="Address and last requests").click()
    card.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    wait_until(lambda: copied() == world.sidecar.url + after, 10, "the address on the clipboard")
    page.evaluate("document.execCommand = () => false")
    card.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Select the text, and copy it by hand.")).to_be_visible()


def test_what_nothing_proves_is_released_or_dropped_by_hand(world: AtSidecar, context: BrowserContext) -> None:
    body = {"name": "cam", "type": "unsigned", "secret": "none"}
    status, source = world.call("POST", "/api/sources", body)
    assert status == 201, source
    for number in range(2):
        content = json.dumps({"event": "motion", "text": f"<b>{number}</b>"}).encode()
        kind = {"content-type": "application/json"}
        assert world.sidecar.request("POST", source["path"], content, kind, key="")[0] == 202
    overview = open_page(context, world, "overview")
    tile = overview.get_by_label("Numbers").get_by_role("link", name="In quarantine")
    expect(tile).to_contain_text("2", timeout=AWAKE)
    tile.click()
    expect(overview.get_by_role("heading", name="Sources", exact=True)).to_be_visible(timeout=AWAKE)
    page = open_page(context, world, "sources")
    numbers = [one["number"] for one in world.call("GET", "/api/quarantine")[1]["requests"]]
    newest, oldest = (page.get_by_label(f"Request {number}", exact=True) for number in numbers)
    expect(newest).to_contain_text("<b>1</b>", timeout=AWAKE)
    oldest.get_by_role("button", name="Release").click()
    expect(oldest).to_have_count(0, timeout=AWAKE)
    newest.get_by_role("button", name="Drop").click()
    expect(newest).to_have_count(0, timeout=AWAKE)
    found = world.sidecar.events("?subject=agent.events.webhook.cam.motion")
    assert [one["data"]["text"] for one in found] == ["<b>0</b>"]
    expect(open_page(context, world, "overview").get_by_label("Numbers")).not_to_contain_text("quarantine")


def test_a_watcher_shows_how_it_does_and_what_it_sees(
    world: AtSidecar, context: BrowserContext, tmp_path: Path
) -> None:
    folder = tmp_path / "<b>in"
    folder.mkdir()
    options = {"files": {"path": str(folder), "settle": "200ms", "every": "1s"}}
    assert world.call("POST", "/api/sources", {"name": "box", "type": "files", "options": options})[0] == 201
    page = open_page(context, world, "sources")
    card = page.get_by_label("Source box", exact=True)
    expect(card).to_contain_text("running", timeout=AWAKE)
    (folder / "a").write_text("x")
    expect(card).to_contain_text("1 accepted", timeout=AWAKE)
    card.get_by_role("button", name="Look now").click()
    expect(page.locator("body")).to_contain_text("It sees 1 file; the newest is a", timeout=AWAKE)
    card.get_by_role("button", name="Last events").click()
    expect(card).to_contain_text("agent.events.watch.box.created", timeout=AWAKE)
    assert card.get_by_role("button", name="Copy").count() == 0
    folder.rename(tmp_path / "away")
    expect(card).to_contain_text("failing", timeout=AWAKE)
    expect(card).to_contain_text("<b>in can't be read", timeout=AWAKE)
    page.get_by_role("button", name="Add a source").click()
    kinds = page.get_by_label("A new source").get_by_label("Type").locator("option").all_inner_texts()
    assert "github" in kinds
    assert not {"files", "command", "mail"} & set(kinds)
