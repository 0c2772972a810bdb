"""The list of events as a test reads it."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from playwright.sync_api import Page


def lines(page: Page) -> list[str]:
    """The rows on the screen, top to bottom: subject and what matters."""
    found: list[str] = page.locator(".list .place > .row").evaluate_all(
        "rows => rows.map(row => ['.subject', '.what'].map(part => row.querySelector(part).textContent).join(' '))"
    )
    return found


def shows(page: Page, expected: list[str]) -> None:
    """Wait until these are the rows."""
    deadline = time.monotonic() + 10
    while lines(page) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert lines(page) == expected, page.url


def query_of(page: Page) -> dict[str, str]:
    """What the address says of the search."""
    return {name: value[0] for name, value in parse_qs(page.url.partition("?")[2]).items()}
