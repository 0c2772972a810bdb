"""A real Gateway with everything, a browser, and what tests do with both."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from openclaw_nats.demo.gateway_client import MAIN, connected
from tests.gateway.world import World
from tests.support.browser import sign_in_code
from tests.support.inbound import Bus, Routed

VERSION = "2026.9.6"
AWAKE = 20_000


class Gateway(Routed, World):
    """A world whose agent works when told to."""

    @property
    def address(self) -> str:
        """The dashboard's address at the Gateway."""
        return f"{self.gateway.url}/nats-dashboard/"

    def turn(self, message: str) -> None:
        """One turn of the agent, its end awaited. In a thread: the browser's loop is in this one."""

        async def take() -> None:
            async with connected(self.gateway) as client:
                await client.turn(message, MAIN)

        in_thread(lambda: asyncio.run(take()))

    def link(self) -> str:
        """A one-time link."""
        return f"{self.address}#/sign-in/{sign_in_code(self.sidecar)}"


class AtSidecar(Bus):
    """A bus whose dashboard is looked at where the sidecar serves it."""

    @property
    def address(self) -> str:
        """The dashboard's address at the sidecar."""
        return f"{self.sidecar.url}/dashboard/"

    def link(self) -> str:
        """A one-time link."""
        return f"{self.address}#/sign-in/{sign_in_code(self.sidecar)}"


def in_thread(work: Callable[[], Any]) -> None:
    """Run something that has an event loop of its own; its error is raised here."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def watch(page: Page, complaints: list[str], host: str) -> None:
    """Note every error of a page, and every request that goes to another host."""
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda line: complaints.append(f"console: {line.text}") if line.type == "error" else None)
    page.on("request", lambda one: None if one.url.startswith(host) else complaints.append(f"request to {one.url}"))


def open_page(context: BrowserContext, world: Gateway | AtSidecar, place: str = "overview") -> Page:
    """A page of a signed-in browser."""
    page = context.new_page()
    page.goto(f"{world.address}#/{place}")
    expect(page.get_by_text("Live", exact=True).first).to_be_visible(timeout=AWAKE)
    expect(page.get_by_text("Connecting …")).to_be_hidden(timeout=AWAKE)  # before that, little of it is there
    return page


def go(page: Page, name: str) -> None:
    """To another page, by the navigation."""
    page.get_by_role("link", name=re.compile(rf"^{name}")).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
