"""Publishing is answered before routing and middleware: with the very answers that the long way gives.

The hot path takes the plain paths; the same path with one character escaped goes the long way.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.support.processes import Sidecar, event

WAYS = {"/api/publish": "/api/publis%68", "/api/events": "/api/event%73"}
JSON = "application/json"
NDJSON = "application/x-ndjson"
LARGE = b'{"subject":"agent.events.a","payload":"' + b"x" * (1 << 20) + b'"}'
GOOD = b'{"subject":"agent.events.custom.hot","payload":{"a":1},"id":"%s"}'

REQUESTS: list[tuple[str, bytes | None, dict[str, str], str]] = [
    ("/api/publish", GOOD % b"same-1", {"Content-Type": JSON}, "ours"),
    ("/api/publish?routes=true", GOOD % b"same-2", {"Content-Type": f"{JSON}; charset=utf-8"}, "ours"),
    ("/api/publish?subject=agent.events.custom.plain", b"x", {"Content-Type": "text/plain", "ce-id": "x"}, "ours"),
    ("/api/publish", b"{", {"Content-Type": JSON}, "ours"),
    ("/api/publish", None, {}, "ours"),
    ("/api/publish", b"x", {"Content-Type": "text/html"}, "ours"),
    ("/api/publish", GOOD % b"x", {"Content-Type": JSON}, ""),
    ("/api/publish", GOOD % b"x", {"Content-Type": JSON}, "another-key-0123456789-abcdef"),
    ("/api/publish", b'{"subject":"nope","payload":1}', {"Content-Type": JSON}, "ours"),
    ("/api/publish", LARGE, {"Content-Type": JSON}, "ours"),
    ("/api/publish", gzip.compress(GOOD % b"same-3"), {"Content-Type": JSON, "Content-Encoding": "gzip"}, "ours"),
    ("/api/publish", b"\x1f\x8b nonsense", {"Content-Type": JSON, "Content-Encoding": "gzip"}, "ours"),
    ("/api/publish", GOOD % b"x", {"Content-Type": JSON, "Content-Encoding": "lzma"}, "ours"),
    ("/api/publish?unknown=1", GOOD % b"same-4", {"Content-Type": JSON}, "ours"),
    ("/api/events", b"\n".join([json.dumps(event("line-1")).encode(), b"{"]), {"Content-Type": NDJSON}, "ours"),
    ("/api/events", json.dumps([event("array-1")]).encode(), {"Content-Type": JSON}, "ours"),
    ("/api/events", b"[1,2]", {"Content-Type": JSON}, "ours"),
    ("/api/events", b"x", {"Content-Type": "text/html"}, "ours"),
    ("/api/events?subject=", b"x", {"Content-Type": NDJSON}, "ours"),
]  # fmt: skip


def _answer(bus: Sidecar, path: str, body: bytes | None, headers: dict[str, str], key: str) -> tuple[int, Any, Any]:
    status, given, answer = bus.request("POST", path, body, headers, **({"key": key} if key != "ours" else {}))
    shown = json.loads(answer)
    for part in (shown, shown.get("result") if isinstance(shown, dict) else None):
        for name in ("sequence", "routes", "seq"):
            part.pop(name, None) if isinstance(part, dict) else None
    return status, {name: value for name, value in given.items() if name not in ("date", "content-length")}, shown


@pytest.mark.parametrize("accept", ["application/json; version=1", "*/*"], ids=["ours", "older clients"])
@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_both_ways_give_the_same_answer(bus: Sidecar, number: int, accept: str) -> None:
    path, body, headers, key = REQUESTS[number]
    headers = {**headers, "Accept": accept}
    plain, _, query = path.partition("?")
    long = WAYS[plain] + (f"?{query}" if query else "")
    _answer(bus, path, body, headers, key)  # so that both of the following are repetitions
    assert _answer(bus, path, body, headers, key) == _answer(bus, long, body, headers, key)


def test_other_methods_go_the_long_way(bus: Sidecar) -> None:
    status, headers, _ = bus.request("PUT", "/api/publish", b"{}", {"Content-Type": JSON})
    assert (status, headers["allow"]) == (405, "POST")
    status, _, lines = bus.request("GET", "/api/events?limit=1")
    assert (status, lines.count(b"\n") <= 1) == (200, True)
