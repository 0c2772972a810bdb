"""A real browser, a real Gateway, and a browser that is signed in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.chromium import chromium, playwright
from tests.browser.world import VERSION, Gateway
from tests.support.inbound import ROOMY
from tests.support.processes import wait_until

# Without these a browser asks its maker's hosts at every start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright() as driver:
        # The browser's own language is then `en-US@posix`, which pages with charts must survive.
        posix = {name: value for name, value in os.environ.items() if not name.startswith(("LANG", "LC_"))}
        one = driver.chromium.launch(executable_path=str(chromium()), args=FLAGS, env={**posix, "LC_ALL": "C.UTF-8"})
        yield one
        one.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    one = Gateway(tmp_path_factory.mktemp("browser"), VERSION, {}, ROOMY)
    try:
        one.start()
        wait_until(lambda: one.health()["plugin"]["connected"], 40, "the plugin's channel")
        yield one
    finally:
        one.close()


@pytest.fixture
def context(browser: Browser, world: Gateway) -> Iterator[BrowserContext]:
    one = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="Europe/Berlin")
    page = one.new_page()
    page.goto(world.link())
    page.get_by_role("heading", name="Overview").wait_for()
    page.close()
    yield one
    one.close()
