"""A watched feed: each new entry is one event; what is hostile in it costs nobody anything."""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import NatsServer, Sidecar, kill_and_restart, wait_until
from tests.support.watching import awaited, runs, stored, watch
from tests.support.web import Web


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    one = Web()
    yield one
    one.close()


def rss(*numbers: int | str, more: str = "") -> bytes:
    items = "".join(
        f"<item><guid>g{n}</guid><title>Entry {n}</title><link>https://example.org/{n}</link>"
        f"<description>&lt;p&gt;About &lt;b&gt;{n}&lt;/b&gt;&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;</description>"
        "<pubDate>Fri, 27 Nov 2026 10:00:00 +0100</pubDate></item>"
        for n in numbers
    )
    head = "<?xml version='1.0' encoding='utf-8'?>"
    return f"{head}<rss version='2.0'><channel><title>News</title>{more}{items}</channel></rss>".encode()


def titles(bus: Sidecar, name: str) -> list[str]:
    return [one["data"]["title"] for one in stored(bus, name)]


def test_new_entries_are_events_the_oldest_first_and_known_ones_are_not(bus: Sidecar, web: Web) -> None:
    page = web.put("/rss", rss(1))
    watch(bus, "news", "feed", url=f"{web.url}/rss", every="5s")
    page.body = rss(3, 2, 2, 1)
    first, _ = awaited(bus, "news", 2)
    assert titles(bus, "news") == ["Entry 2", "Entry 3"]
    assert first["subject"] == "agent.events.watch.news.published"
    assert first["data"] == {
        "feed": "News",
        "url": f"{web.url}/rss",
        "title": "Entry 2",
        "id": "g2",
        "link": "https://example.org/2",
        "published": "2026-11-27T09:00:00.000Z",
        "summary": "About 2",
    }
    page.body = rss(4)  # the others are gone, and come back
    awaited(bus, "news", 3)
    page.body = rss(4, 3, 2, 1)
    time.sleep(6)
    assert titles(bus, "news") == ["Entry 2", "Entry 3", "Entry 4"]
    wait_until(lambda: 304 in page.answered, 15, "an answer without a body")
    assert "4 entries in News" in bus.call("POST", "/api/sources/news/test")[1]["sees"]


def test_atom_compressed_and_from_the_beginning(bus: Sidecar, web: Web) -> None:
    atom = (
        b'<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title>'
        b'<entry><id>urn:1</id><title type="html">Tom &amp;amp; Jerry</title><link href="https://example.org/a"/>'
        b"<author><name>Ann</name></author><category term='cats'/><updated>2026-11-27T10:00:00Z</updated>"
        b"<content type='html'>&lt;p&gt;One&lt;/p&gt;&lt;p&gt;Two&lt;/p&gt;</content></entry></feed>"
    )
    web.put("/atom", gzip.compress(atom), headers={"Content-Encoding": "gzip", "Content-Type": "application/atom+xml"})
    watch(bus, "atom", "feed", url=f"{web.url}/atom", every="5s", fromBeginning=True)
    (event,) = awaited(bus, "atom", 1)
    data = event["data"]
    assert (data["title"], data["author"], data["tags"], data["link"]) == (
        "Tom & Jerry",
        "Ann",
        ["cats"],
        "https://example.org/a",
    )
    assert data["summary"] == "One\n\nTwo"


def test_hostile_feeds_end_in_time_with_a_reason_and_others_go_on(bus: Sidecar, web: Web, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret of a file")
    laughs = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10 if n else 'lol'}'>" for n in range(10))
    external = f"<!DOCTYPE r [<!ENTITY x SYSTEM 'file://{tmp_path}/secret'>]>"
    body = "<rss version='2.0'><channel><item><guid>g</guid><title>{}</title></item></channel></rss>"
    pages: dict[str, bytes] = {
        "/laughs": f"<!DOCTYPE r [{laughs}]>{body.format('&l9;')}".encode(),
        "/external": (external + body.format("&x;")).encode(),
        "/deep": b"<rss version='2.0'><channel>" + b"<a>" * 1_600_000,  # as much as is read
        "/path": str(tmp_path / "secret").encode(),
        "/html": b"<html><body>x</body></html>",
        "/empty": b"",
        "/bomb": gzip.compress(b"<rss>" + b" " * (100 << 20)),
    }
    good = web.put("/good", rss(1))
    watch(bus, "good", "feed", url=f"{web.url}/good", every="5s")
    for path, text in pages.items():
        headers = {"Content-Encoding": "gzip"} if path == "/bomb" else {}
        web.put(path, text, headers=headers)
        options: dict[str, Any] = {"url": web.url + path, "every": "5s", "fromBeginning": True}
        made = {"name": path[1:], "type": "feed", "options": {"feed": options}}
        assert bus.call("POST", "/api/sources", made)[0] == 201
    for path in ("/deep", "/path", "/html", "/empty", "/bomb"):
        assert runs(bus, path[1:], "failing")["reason"], path
    assert "was stopped" in runs(bus, "deep", "failing")["reason"]
    assert "no RSS or Atom feed" in runs(bus, "html", "failing")["reason"]
    good.body = rss(2, 1)
    awaited(bus, "good", 1, seconds=60)
    time.sleep(3)
    assert b"the secret of a file" not in bus.request("GET", "/api/events")[2]
    assert all(len(one["data"]["title"]) < 600 for one in stored(bus, "laughs"))
    assert bus.get("/api/health")[0] == 200


def test_of_a_feed_that_is_too_long_both_ends_are_read_and_health_says_so(bus: Sidecar, web: Web) -> None:
    page = web.put("/long", rss(*range(1500)))
    watch(bus, "long", "feed", url=f"{web.url}/long", every="5s")
    note = runs(bus, "long")["reason"]
    assert note == "the feed is too long: 500 entries not read"
    assert [one for one in bus.get("/api/health")[1]["delivery"]["notes"] if note in one]
    page.body = rss("first", *range(1500), "last")
    awaited(bus, "long", 2)
    assert sorted(titles(bus, "long")) == ["Entry first", "Entry last"]


def test_each_entry_is_told_once_whatever_is_killed(sidecar: Sidecar, nats: NatsServer) -> None:
    web, done = Web(), threading.Event()
    page = web.put("/rss", rss(0))
    numbers = [0]

    def write() -> None:
        while not done.wait(0.1):
            numbers.insert(0, len(numbers))
            page.body = rss(*numbers)

    try:
        watch(sidecar, "news", "feed", url=f"{web.url}/rss", every="5s")
        writing = threading.Thread(target=write)
        writing.start()
        kill_and_restart([sidecar, nats, sidecar, sidecar, nats, sidecar], random.Random(9), (1.5, 3.5))
        sidecar.wait_up()
        done.set()
        writing.join()
        awaited(sidecar, "news", len(numbers) - 1, seconds=40)
        time.sleep(6)
        assert Counter(titles(sidecar, "news")) == {f"Entry {number}": 1 for number in numbers[:-1]}
    finally:
        done.set()
        web.close()
