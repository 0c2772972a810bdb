"""A watched address: an event when what it answers changes, or one value in it, and none for anything else."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.processes import NatsServer, Sidecar, kill_and_restart
from tests.support.watching import awaited, runs, stored, watch
from tests.support.web import Web


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    one = Web()
    yield one
    one.close()


def failing(bus: Sidecar, name: str, url: str, **options: Any) -> str:
    """Why a watcher of an address fails."""
    body = {"name": name, "type": "http", "options": {"http": {"url": url, "every": "1s", **options}}}
    assert bus.call("POST", "/api/sources", body)[0] == 201
    reason = runs(bus, name, "failing")["reason"]
    assert bus.call("DELETE", f"/api/sources/{name}")[0] == 204
    return str(reason)


def test_one_value_that_changes_is_an_event_with_what_it_was_before(bus: Sidecar, web: Web) -> None:
    page = web.put("/state", b'{"at": 1, "door": [{"state": "shut"}]}')
    watch(bus, "door", "http", url=f"{web.url}/state", jsonPath="$.door[0].state", every="1s")
    page.body = b'{"at": 2, "door": [{"state": "shut"}]}'  # something else has changed
    time.sleep(2.5)
    page.body = b'{"at": 3, "door": [{"state": "open"}]}'
    awaited(bus, "door", 1)
    page.body = b'{"at": 4, "door": []}'
    awaited(bus, "door", 2)
    page.body = b'{"at": 5, "door": [{"state": "shut"}]}'
    opened, gone, shut = awaited(bus, "door", 3)
    assert opened["subject"] == "agent.events.watch.door.changed"
    assert (opened["data"]["before"], opened["data"]["after"]) == ("shut", "open")
    assert (gone["data"]["before"], "after" in gone["data"]) == ("open", False)
    assert shut["data"]["after"] == "shut"
    assert page.answered.count(304) >= 1  # what has not changed is not sent again
    assert page.asked[-1]["user-agent"].startswith("openclaw-nats/")


def test_without_a_path_all_of_it_counts_and_a_token_goes_where_it_belongs(bus: Sidecar, web: Web) -> None:
    page = web.put("/text", b"one", tagged=False)
    more = {"secret": "t0ken", "header": "X-Api-Key"}
    watch(bus, "page", "http", url=f"{web.url}/text", every="1s", fromBeginning=True, **more)
    page.body = b"\xff\xfe"
    awaited(bus, "page", 2)
    page.body = b"x" * 100_000
    first, second, third = awaited(bus, "page", 3)
    assert first["data"] == {"url": f"{web.url}/text", "bytes": 3, "text": "one"}
    assert second["data"] == {"url": f"{web.url}/text", "bytes": 2}
    assert third["data"]["bytes"] == 100_000
    assert {one["x-api-key"] for one in page.asked} == {"t0ken"}
    for answer in (bus.get("/api/sources/page"), bus.get("/api/audit"), bus.events()):
        assert "t0ken" not in json.dumps(answer)
    assert bus.call("POST", "/api/sources/page/rotate", {"secret": "an0ther"})[0] == 200
    page.body = b"two"
    awaited(bus, "page", 4)
    assert page.asked[-1]["x-api-key"] == "an0ther"


def test_what_can_not_be_asked_is_a_failure_with_its_reason_and_is_asked_again(bus: Sidecar, web: Web) -> None:
    bomb = gzip.compress(b"\0" * (200 << 20), 9)
    web.put("/bomb", bomb, headers={"Content-Encoding": "gzip"})
    web.put("/cut", gzip.compress(b"x" * 1000)[:-5], headers={"Content-Encoding": "gzip"})
    web.put("/large", b"x" * (6 << 20))
    web.put("/loop", b"", status=302, headers={"Location": "/loop"})
    web.put("/file", b"", status=302, headers={"Location": "file:///etc/passwd"})
    web.put("/inside", b"", status=302, headers={"Location": f"http://localhost:{bus.port}/api/health"})
    web.put("/html", b"<html>")
    web.put("/huge", b'{"a": 1e400}')
    web.put("/deep", b"[" * 5000 + b"]" * 5000)
    web.put("/brotli", b"x", headers={"Content-Encoding": "br"})
    for path, reason in {
        "/bomb": "more than 5 MiB",
        "/large": "more than 5 MiB",
        "/cut": "cut off",
        "/none": "answered 404",
        "/loop": "redirects more than 5 times",
        "/file": "no address",
        "/inside": "not on the public internet",
        "/brotli": "not asked for",
    }.items():
        assert reason in failing(bus, "bad", web.url + path), path
    for path in ("/html", "/huge", "/deep"):
        assert "no JSON" in failing(bus, "bad", web.url + path, jsonPath="a"), path
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "refused" in failing(bus, "bad", f"http://127.0.0.1:{port}/")
    page = web.put("/back", b'"a"', status=503, headers={"Retry-After": "2"})
    body = {"name": "back", "type": "http", "options": {"http": {"url": f"{web.url}/back", "every": "1s"}}}
    bus.call("POST", "/api/sources", body)
    runs(bus, "back", "failing")
    assert "503" in bus.call("POST", "/api/sources/back/test")[1]["detail"]
    page.status = 200
    runs(bus, "back")
    page.body = b'"b"'
    (event,) = awaited(bus, "back", 1)
    assert event["data"]["after"] == "b"
    assert bus.get("/api/health")[0] == 200


def test_a_redirect_on_the_same_host_is_followed(bus: Sidecar, web: Web) -> None:
    page = web.put("/moved", b"1")
    web.put("/here", b"", status=301, headers={"Location": "/moved"})
    watch(bus, "moved", "http", url=f"{web.url}/here", every="1s")
    page.body = b"2"
    (event,) = awaited(bus, "moved", 1)
    assert event["data"]["after"] == 2
    assert "1 bytes" in bus.call("POST", "/api/sources/moved/test")[1]["sees"]


def test_a_server_that_says_nothing_more_costs_only_its_own_watcher(bus: Sidecar, web: Web) -> None:
    """It accepts, and then sends a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        body = {"name": "drip", "type": "http", "options": {"http": {"url": url, "every": "1s"}}}
        assert bus.call("POST", "/api/sources", body)[0] == 201
        page = web.put("/beside", b"1")
        watch(bus, "beside", "http", url=f"{web.url}/beside", every="1s")
        page.body = b"2"
        awaited(bus, "beside", 1)
        assert runs(bus, "drip", "starting") == {"state": "starting"}
        began = time.monotonic()
        assert bus.call("DELETE", "/api/sources/drip")[0] == 204
        assert time.monotonic() - began < 5


def test_each_change_that_was_there_to_be_seen_is_told_once_whatever_is_killed(
    sidecar: Sidecar, nats: NatsServer
) -> None:
    web = Web()
    done = threading.Event()
    page = web.put("/count", b'{"n": 0}')

    def count() -> None:
        number = 0
        while not done.wait(0.7):
            number += 1
            page.body = json.dumps({"n": number}).encode()

    try:
        watch(sidecar, "count", "http", url=f"{web.url}/count", jsonPath="n", every="1s")
        counting = threading.Thread(target=count)
        counting.start()
        kill_and_restart([sidecar, nats, sidecar, sidecar, nats, sidecar], random.Random(3), (1.8, 3.2))
        sidecar.wait_up()
        done.set()
        counting.join()
        last = json.loads(page.body)["n"]

        def values() -> list[tuple[int, int]]:
            return [(found["data"]["before"], found["data"]["after"]) for found in stored(sidecar, "count")]

        deadline = time.monotonic() + 30
        while not values() or values()[-1][1] != last:
            assert time.monotonic() < deadline, values()
            time.sleep(0.2)
        # A chain: none is missing in between, and none is there twice.
        assert values()[0][0] == 0
        assert [before for before, _ in values()[1:]] == [after for _, after in values()[:-1]]
        assert len(values()) > 3
    finally:
        done.set()
        web.close()
