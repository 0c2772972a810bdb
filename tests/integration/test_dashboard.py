"""The dashboard's door, on a real sidecar: sign-in, sessions, cross-site requests, live events, files."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from openclaw_nats.api.dashboard_gate import OPEN_TO_BROWSERS
from openclaw_nats.api.openapi import document
from tests.support.browser import Visitor, sign_in_code
from tests.support.processes import API_KEY, Sidecar, event, wait_until


@pytest.fixture
def visitor(bus: Sidecar) -> Visitor:
    return Visitor(f"{bus.url}/dashboard")


@pytest.fixture
def operator(bus: Sidecar, visitor: Visitor) -> Visitor:
    visitor.sign_in(sign_in_code(bus))
    return visitor


def every_operation() -> list[tuple[str, str]]:
    """(method, path below /api) of everything that there is."""
    return [
        (
            method.upper(),
            path.removeprefix("/api").replace("{name}", "x").replace("{id}", "1").replace("{sequence}", "1"),
        )
        for path, methods in document()["paths"].items()
        for method in methods
        if path.startswith("/api/") and method != "parameters"
    ]


def test_a_visitor_without_a_session_gets_no_data_and_changes_nothing(visitor: Visitor) -> None:
    visitor.cookie = "openclaw_nats_00000000=forged"
    for method, path in every_operation():
        if (method, path) == ("POST", "/session"):
            continue
        body = {} if method in ("POST", "PATCH") else None
        status, answer = visitor.call(method, f"/api{path}", body)
        assert (status, answer["type"]) == (401, "urn:openclaw-nats:problem:signed-out"), (method, path)
    # nor does the API key open it from here: the dashboard's door knows sessions only
    status, _ = visitor.call("GET", "/api/routes", headers={"Authorization": f"Bearer {API_KEY}"})
    assert status == 401


def test_a_link_signs_in_once(bus: Sidecar, visitor: Visitor) -> None:
    code = sign_in_code(bus)
    status, headers, answer = visitor.request("POST", "/api/session", {"code": code})
    assert status == 201
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert "Secure" not in headers["set-cookie"]
    assert json.loads(answer)["current"] is True
    assert len(json.loads(answer)["pageToken"]) >= 43
    status, answer = visitor.call("POST", "/api/session", {"code": code})
    assert (status, answer["type"]) == (403, "urn:openclaw-nats:problem:link-used-up")
    assert "openclaw-nats dashboard" in answer["hint"]
    for wrong in ({}, {"code": 5}, {"code": "x", "more": 1}, [], None):
        assert visitor.request("POST", "/api/session", wrong)[0] in (400, 415)


def test_a_cookie_alone_is_no_session(bus: Sidecar, operator: Visitor) -> None:
    """Browsers send it to every port of the host: to whoever listens there."""
    thief, other = Visitor(f"{bus.url}/dashboard"), Visitor(f"{bus.url}/dashboard")
    other.sign_in(sign_in_code(bus))
    thief.cookie = operator.cookie
    for page_token in ("", "guess", other.page_token, operator.cookie.partition("=")[2]):
        thief.page_token = page_token
        for method, path in every_operation():
            if (method, path) != ("POST", "/session"):
                status, answer = thief.call(method, f"/api{path}", {} if method in ("POST", "PATCH") else None)
                assert (status, answer["type"]) == (401, "urn:openclaw-nats:problem:signed-out"), (method, path)
    thief.cookie, thief.page_token = "", operator.page_token
    assert thief.call("GET", "/api/session")[0] == 401
    assert operator.call("GET", "/api/session")[0] == 200, "and none of that signs the operator out"


def test_behind_tls_the_cookie_is_for_tls_only(bus: Sidecar, visitor: Visitor) -> None:
    headers = {"Origin": "https://gateway.example", "Host": "gateway.example"}
    _, answer, _ = visitor.request("POST", "/api/session", {"code": sign_in_code(bus)}, headers)
    assert "; Secure" in answer["set-cookie"]


def test_a_signed_in_browser_reads_and_changes(bus: Sidecar, operator: Visitor) -> None:
    assert operator.call("GET", "/api/health")[1]["nats"]["reachable"] is True
    route = {"name": "from/browser", "pattern": "agent.events.custom.browser", "target": "main"}
    assert operator.call("POST", "/api/routes", {**route, "name": "from browser"})[0] == 201
    assert operator.call("PATCH", "/api/routes/from%20browser", {"enabled": False})[1]["enabled"] is False
    assert operator.request("DELETE", "/api/routes/from%20browser")[0] == 204
    assert bus.get("/api/routes")[1] == {"routes": []}


def test_what_browsers_have_no_business_with_is_not_there(operator: Visitor) -> None:
    for method, path in (
        ("POST", "/api/plugin/report"),
        ("GET", "/api/plugin/channel?instance=0123456789"),
        ("POST", "/api/plugin/results"),
        ("POST", "/api/tools/nats_publish"),
        ("POST", "/api/sign-in-links"),
        ("GET", "/api/openapi.json"),
        ("GET", "/api/"),
        ("GET", "/api/../metrics"),
        ("GET", "/api/%2e%2e/metrics"),
        ("GET", "/api//metrics"),
    ):
        assert operator.request(method, path, {} if method == "POST" else None)[0] == 404, path
    assert operator.request("POST", "/api/events", [])[0] == 405


def test_a_signed_in_browser_pauses_alert_channels_and_never_sees_their_addresses(operator: Visitor) -> None:
    channel = {"name": "phone", "to": "http://127.0.0.1:1/T0PSECRET"}
    assert operator.call("POST", "/api/alerts", channel)[0] == 201
    status, changed = operator.call("PATCH", "/api/alerts/phone", {"paused": True})
    assert (status, changed["paused"]) == (200, True)
    assert "T0PSECRET" not in str(operator.call("GET", "/api/alerts"))
    records = operator.call("GET", "/api/audit?limit=50")[1]["records"]
    actors = {one["who"] for one in records if one["act"] == "alerts.change"}
    assert {one.partition(" ")[0] for one in actors} == {"dashboard"}, actors
    assert operator.request("DELETE", "/api/alerts/phone", None)[0] == 204


def test_nothing_that_goes_on_outlives_the_session(operator: Visitor) -> None:
    status, answer = operator.call("GET", "/api/events?follow=true")
    assert status == 400
    assert "/api/live" in answer["hint"]


def test_every_path_is_either_open_to_browsers_or_kept_from_them() -> None:
    kept = {"plugin", "proof", "schedules", "tools", "sign-in-links", "openapi.json", "fleet", "replays"}
    segments = {path.removeprefix("/").partition("/")[0] for _, path in every_operation()}
    assert segments == OPEN_TO_BROWSERS.keys() | kept


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_other_sites_are_refused(operator: Visitor, headers: dict[str, str]) -> None:
    route = {"name": "evil", "pattern": "agent.events.>", "target": "main"}
    status, answer = operator.call("POST", "/api/routes", route, headers)
    assert (status, answer["type"]) == (403, "urn:openclaw-nats:problem:cross-site")
    assert operator.call("GET", "/api/routes")[1]["routes"] == []
    if "Sec-Fetch-Site" in headers:
        assert operator.call("GET", "/api/routes", headers=headers)[0] == 403


@pytest.mark.parametrize("value", ['"' + "\\" * 30_000 + '"', '"' + r"\"" * 15_000 + '"', "; a" * 10_000])
def test_no_cookie_takes_long_to_read(bus: Sidecar, value: str) -> None:
    """Anybody may send one: http.cookies of older Pythons took 2 s of the event loop for 30 KB."""
    visitor = Visitor(f"{bus.url}/dashboard")
    assert bus.process is not None
    used = psutil.Process(bus.process.pid).cpu_times().user
    for _ in range(5):
        visitor.cookie = f"a={value}"
        assert visitor.call("GET", "/api/session")[0] == 401
    assert psutil.Process(bus.process.pid).cpu_times().user - used < 1


def test_signing_out_ends_the_session_and_only_that_one(bus: Sidecar) -> None:
    one, other = Visitor(f"{bus.url}/dashboard"), Visitor(f"{bus.url}/dashboard")
    mine, theirs = one.sign_in(sign_in_code(bus)), other.sign_in(sign_in_code(bus))
    listed = {row["id"]: row["current"] for row in one.call("GET", "/api/sessions")[1]["sessions"]}
    assert listed[mine["id"]] is True
    assert listed[theirs["id"]] is False
    assert one.request("DELETE", "/api/session")[0] == 204
    assert one.call("GET", "/api/session")[0] == 401
    assert other.call("GET", "/api/session")[1]["id"] == theirs["id"]
    assert bus.request("DELETE", f"/api/sessions/{theirs['id']}")[0] == 204
    assert other.call("GET", "/api/session")[0] == 401
    assert bus.request("DELETE", f"/api/sessions/{theirs['id']}")[0] == 404


def test_sessions_outlive_the_sidecar_and_their_tokens_are_not_stored(sidecar: Sidecar) -> None:
    visitor = Visitor(f"{sidecar.url}/dashboard")
    visitor.sign_in(sign_in_code(sidecar))
    token = visitor.cookie.partition("=")[2]
    sidecar.kill()
    sidecar.start()
    assert visitor.call("GET", "/api/session")[0] == 200
    kept = b"".join(path.read_bytes() for path in sidecar.home.rglob("*") if path.is_file())
    assert token.encode() not in kept
    assert visitor.page_token.encode() not in kept


def test_a_session_ends_when_its_time_is_over(tmp_path: Any, nats: Any) -> None:
    one = Sidecar(tmp_path / "state", nats, '[dashboard]\nsession_expires = "2s"\n')
    one.start()
    try:
        visitor = Visitor(f"{one.url}/dashboard")
        visitor.sign_in(sign_in_code(one))
        assert visitor.call("GET", "/api/session")[0] == 200
        with Live(visitor) as live:
            wait_until(lambda: visitor.call("GET", "/api/session")[0] == 401, 10, "the session's end")
            assert live.until("signed-out", seconds=15) == {}
    finally:
        one.close()


class Live:
    """An open stream of server-sent events."""

    def __init__(self, visitor: Visitor, headers: dict[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(visitor.host, timeout=20)
        self._connection.request(
            "GET", f"{visitor.prefix}/api/live", headers={**visitor.credentials(), **(headers or {})}
        )
        self.answer = self._connection.getresponse()
        self.last_id = ""

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def messages(self) -> Iterator[tuple[str, Any]]:
        """(kind, data) as they come."""
        kind = ""
        for raw in self.answer:
            line = raw.decode().rstrip("\n")
            if line.startswith("id: "):
                self.last_id = line[4:]
            elif line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])

    def until(self, wanted: str, seconds: float = 10) -> Any:
        """The next message of a kind."""
        deadline = time.monotonic() + seconds
        for kind, data in self.messages():
            if kind == wanted:
                return data
            assert time.monotonic() < deadline, f"no {wanted}"
        raise AssertionError(f"the stream ended without {wanted}")

    def numbers(self, until: int) -> list[int]:
        """The numbers of the test events that come, up to one."""
        found: list[int] = []
        for kind, data in self.messages():
            if kind == "events":
                found += [one["event"]["data"]["number"] for one in data["events"]]
                if until in found:
                    return found
        raise AssertionError(f"the stream ended with {found}")


def test_events_come_live_and_a_reconnect_misses_none_and_repeats_none(sidecar: Sidecar) -> None:
    visitor = Visitor(f"{sidecar.url}/dashboard")
    visitor.sign_in(sign_in_code(sidecar))
    sidecar.post_events([event(number) for number in range(3)])
    with Live(visitor) as live:
        assert live.answer.headers["content-type"].startswith("text/event-stream")
        assert live.numbers(2) == [0, 1, 2]
        state = live.until("state")
        assert state["health"]["status"] == "up"
        sidecar.post_events([event(number) for number in range(3, 6)])
        assert live.numbers(5) == [3, 4, 5]
        last = live.last_id
    sidecar.post_events([event(number) for number in range(6, 9)])
    with Live(visitor, {"Last-Event-ID": last}) as live:
        assert live.numbers(8) == [6, 7, 8]
    assert [
        one["event"]["data"]["number"] for one in visitor.call("GET", f"/api/live/recent?after={last}")[1]["events"]
    ] == [
        6,
        7,
        8,
    ]


def test_live_goes_on_when_nats_was_away(sidecar: Sidecar, nats: Any) -> None:
    visitor = Visitor(f"{sidecar.url}/dashboard")
    visitor.sign_in(sign_in_code(sidecar))
    with Live(visitor) as live:
        sidecar.post_events([event(0)])
        assert live.numbers(0) == [0]
        nats.kill()
        while live.until("state")["health"]["nats"]["reachable"]:
            pass
        nats.start()
        wait_until(lambda: sidecar.publish("agent.events.custom.test", {"number": 1})[0] == 200, 20, "NATS")
        assert live.numbers(1) == [1]


def test_a_large_event_comes_without_its_data_and_whole_when_asked(sidecar: Sidecar) -> None:
    visitor = Visitor(f"{sidecar.url}/dashboard")
    visitor.sign_in(sign_in_code(sidecar))
    sidecar.post_events([event(0, data={"number": 0, "text": "x" * 100_000})])
    with Live(visitor) as live:
        one = live.until("events")["events"][0]
        assert one["whole"] is False
        assert "data" not in one["event"]
    assert len(visitor.call("GET", f"/api/events/{one['sequence']}")[1]["data"]["text"]) == 100_000
    assert visitor.call("GET", "/api/events/999")[0] == 404


def test_pages_are_served_with_a_strict_policy_and_no_way_out_of_their_folder(bus: Sidecar) -> None:
    visitor = Visitor(f"{bus.url}/dashboard")
    status, headers, body = visitor.request("GET", "/")
    assert status == 200
    assert b"<title>" in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-frame-options"] == "DENY"
    status, again, body = visitor.request("GET", "/", headers={"If-None-Match": headers["etag"]})
    assert (status, body) == (304, b"")
    assert (again["etag"], again["content-security-policy"]) == (headers["etag"], policy)
    for path in ("/../api-key", "/%2e%2e/api-key", "/assets/../../api-key", "/assets/..%2f..%2fapi-key", "/nothing.js"):
        assert visitor.request("GET", path)[0] == 404, path
    assert visitor.request("POST", "/", {})[0] == 405
    status, headers, _ = Visitor(bus.url).request("GET", "/dashboard")
    assert (status, headers["location"]) == (308, "./dashboard/")
