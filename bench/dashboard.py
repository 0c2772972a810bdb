#!/usr/bin/env python3
"""The dashboard in a real browser: first paint on a cold cache, frames while 200 events a second come, size.

    python3 dev.py bench --dashboard [--write]     about a minute; needs Chromium

Each figure stands next to the same for an empty page of the same browser in the same run.
"""

from __future__ import annotations

import gzip
import http.server
import itertools
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.run import table  # noqa: E402
from tests.browser.chromium import chromium, playwright  # noqa: E402
from tests.browser.conftest import FLAGS  # noqa: E402
from tests.support.browser import sign_in_code  # noqa: E402
from tests.support.processes import NatsServer, Sidecar, event  # noqa: E402

ROUNDS = 7
EVENTS_A_SECOND = 200
SECONDS = 10.0
DOC = ROOT / "docs" / "dashboard.md"
MARKS = ("<!-- measured -->", "<!-- /measured -->")
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_FRAMES = """seconds => new Promise(resolve => {
  const times = [];
  const begin = performance.now();
  const step = now => { times.push(now); now - begin < seconds * 1000 ? requestAnimationFrame(step) : resolve(times) };
  requestAnimationFrame(step);
})"""


class Empty(http.server.BaseHTTPRequestHandler):
    """A page with one word."""

    def do_GET(self) -> None:
        """Answer everything with it."""
        body = b"<!doctype html><title>empty</title><p>empty</p>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def paint(browser: Browser, url: str) -> float:
    """Milliseconds to the first paint in a browser profile that has seen nothing."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    found = 0.0
    while found <= 0:  # the page's policy lets nothing be evaluated inside it, so it is asked from outside
        found = float(page.evaluate(_PAINT))
    context.close()
    return found


def frames(page: Page, seconds: float) -> tuple[float, float]:
    """(frames a second, the longest pause between two in milliseconds)."""
    times = page.evaluate(_FRAMES, seconds)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    return (len(times) - 1) / (times[-1] - times[0]) * 1000, max(gaps)


def main() -> int:
    """Measure and print, with --write into docs/dashboard.md too."""
    folder = Path(tempfile.mkdtemp())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    empty = f"http://127.0.0.1:{server.server_address[1]}/"
    nats = NatsServer(folder / "nats")
    nats.start()
    sidecar = Sidecar(folder / "state", nats)
    sidecar.start()
    try:
        with playwright() as driver:
            browser = driver.chromium.launch(executable_path=str(chromium()), args=FLAGS)
            rows, browser_version = measure(browser, sidecar, empty), f"Chromium {browser.version}"
            browser.close()
    finally:
        sidecar.close()
        nats.close()
        server.shutdown()
    text = table(["what", "dashboard", "empty page", "ratio"], rows)
    print(text)
    if "--write" in sys.argv:
        page = DOC.read_text()
        before, after = page.index(MARKS[0]) + len(MARKS[0]), page.index(MARKS[1])
        when = f"Measured on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, headless {browser_version}:"
        DOC.write_text(page[:before] + f"\n{when}\n\n{text}\n" + page[after:])
    return 0


def measure(browser: Browser, sidecar: Sidecar, empty: str) -> list[list[str]]:
    """The rows of the table."""
    paints: dict[str, list[float]] = {"dashboard": [], "empty": []}
    for _ in range(ROUNDS):
        paints["empty"].append(paint(browser, empty))
        paints["dashboard"].append(paint(browser, f"{sidecar.url}/dashboard/"))
    ours, theirs = (statistics.median(paints[name]) for name in ("dashboard", "empty"))
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    blank, page = context.new_page(), context.new_page()
    blank.goto(empty)
    blank.bring_to_front()
    idle, idle_gap = frames(blank, 5.0)
    page.goto(f"{sidecar.url}/dashboard/#/sign-in/{sign_in_code(sidecar)}")
    page.get_by_role("heading", name="Overview").wait_for()
    page.goto(f"{sidecar.url}/dashboard/#/events")
    page.get_by_role("heading", name="Events").wait_for()
    page.bring_to_front()
    done = threading.Event()
    sent = threading.Thread(target=publish, args=(sidecar, done))
    sent.start()
    page.wait_for_timeout(2000)
    busy, busy_gap = frames(page, SECONDS)
    done.set()
    sent.join()
    scripts = sum(len(gzip.compress(one.read_bytes(), 9)) for one in (ROOT / "dashboard/dist/assets").glob("*.js"))
    return [
        [
            "first paint, cold cache, loopback (median of 7)",
            f"{ours:.0f} ms",
            f"{theirs:.0f} ms",
            f"{ours / theirs:.1f}",
        ],
        [f"frames a second at {EVENTS_A_SECOND} events/s", f"{busy:.1f}", f"{idle:.1f}", f"{busy / idle:.2f}"],
        ["longest pause between frames", f"{busy_gap:.0f} ms", f"{idle_gap:.0f} ms", f"{busy_gap / idle_gap:.1f}"],
        ["script, gzip", f"{scripts / 1000:.1f} kB", "-", "-"],
    ]


def publish(sidecar: Sidecar, done: threading.Event) -> None:
    """Events at that rate, in groups, until it is enough."""
    number = 0
    began = time.monotonic()
    while not done.is_set():
        size = EVENTS_A_SECOND // 20
        sidecar.post_events([event(f"bench-{number + at}", data={"number": number + at}) for at in range(size)])
        number += size
        time.sleep(max(0.0, began + number / EVENTS_A_SECOND - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())
