"""The dashboard on a real Gateway's own port: a visitor gets nothing, and a one-time link opens it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.catalog import SCHEMES
from tests.gateway.world import World
from tests.integration.test_dashboard import every_operation
from tests.support.browser import Visitor
from tests.support.inbound import Routed
from tests.support.processes import API_KEY, wait_until
from tests.support.releases import newest_first

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

PATH = "/nats-dashboard/"


class Gateway(Routed, World):
    """A world whose Gateway serves the dashboard."""

    def cli(self, *words: str) -> Any:
        """The JSON of an `openclaw-nats` command."""
        done = subprocess.run(
            [sys.executable, "-m", "openclaw_nats", *words, "--json"],
            env=self.sidecar.environment,
            capture_output=True,
            check=True,
            text=True,
        )
        return json.loads(done.stdout)

    def link(self) -> str:
        """The first link that `openclaw-nats dashboard` shows."""
        return str(self.cli("dashboard", "--no-open")["links"][0])

    def everything(self) -> list[Any]:
        """What a visitor might have changed."""
        return [self.sidecar.get(path)[1] for path in ("/api/routes", "/api/cron", "/api/timers", "/api/sessions")]


@pytest.fixture(scope="module", params=newest_first("2026.9.6", "2026.6.11"))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    one = Gateway(tmp_path_factory.mktemp("dashboard"), request.param)
    try:
        one.start()
        wait_until(lambda: one.sidecar.get("/api/health")[1]["plugin"]["reachable"], 40, "the plugin's report")
        yield one
    finally:
        one.close()


def test_webhooks_come_through_the_gateways_port_and_wake_its_agent(world: Gateway) -> None:
    """As a provider sends them to a Gateway that is public already; nobody else gets in there."""
    secret = "a-secret-of-the-test"
    status, source = world.call("POST", "/api/sources", {"name": "hub", "type": "github", "secret": secret})
    assert status == 201, source
    subject = "agent.events.webhook.hub.issues.opened"
    world.route("hub", subject, "main", instruction="Say what the issue is about.")
    scheme = SCHEMES["github"]
    body = scheme.sample + b" " * 100_000
    proof = scheme.sign(body, secret, SourceOptions(), time.time(), "delivery-1")
    headers = {"content-type": "application/json", **scheme.sample_headers, **proof}

    def send(path: str = source["gatewayPath"], body: bytes = body) -> int:
        link = http.client.HTTPConnection(urlsplit(world.gateway.url).netloc, timeout=60)
        try:
            link.request("POST", path, body, headers)
            answer = link.getresponse()
            answer.read()
            return answer.status
        finally:
            link.close()

    assert send(body=body + b" ") == 401
    assert send(path="/nats-dashboard/in/hub/wrong") == 401
    assert send(path="/nats-dashboard/in/../api/routes") in (401, 404)
    assert send() == 202
    assert send() == 200
    receipts = wait_until(lambda: world.sidecar.get("/api/receipts?route=hub")[1]["receipts"], 90, "the turn")
    assert [one["outcome"] for one in receipts] == ["ok"]
    prompts = [text for text in world.prompts() if "A sample of openclaw-nats" in text]
    assert len(prompts) == 1
    before, _, after = prompts[0].rpartition("A sample of openclaw-nats")
    assert "Say what the issue is about." in after
    assert "Say what the issue is about." not in before


@pytest.fixture
def page(world: Gateway) -> str:
    return world.gateway.url + PATH


def test_the_link_is_at_the_gateways_own_address_and_opens_the_dashboard_once(world: Gateway, page: str) -> None:
    link = world.link()
    address, _, code = link.partition("#/sign-in/")
    assert address == page
    visitor = Visitor(page)
    status, headers, body = visitor.request("GET", "/")
    assert status == 200
    assert b'<div id="app">' in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    visitor.sign_in(code)
    assert visitor.call("GET", "/api/health")[1]["status"] == "up"
    assert Visitor(page).request("POST", "/api/session", {"code": code})[0] == 403
    shown = world.cli("dashboard", "sessions")["sessions"]
    assert len(shown) == 1
    world.cli("dashboard", "sign-out", "all")
    assert visitor.call("GET", "/api/health")[0] == 401


def test_a_visitor_of_the_gateways_port_gets_no_data_and_changes_nothing(world: Gateway, page: str) -> None:
    visitor = Visitor(page)
    before = world.everything()
    count = len(world.events())
    tried = 0
    for method, path in [*every_operation(), ("HEAD", "/health"), ("PUT", "/routes/1"), ("OPTIONS", "/routes")]:
        body: Any = {"name": "evil", "pattern": "agent.events.>", "target": "main", "cron": "* * * * *", "delay": "1s"}
        if path == "/publish":
            body = {"subject": "agent.events.custom.evil", "payload": 1}
        for headers in ({}, {"Authorization": f"Bearer {world.gateway.token}"}, {"Authorization": f"Bearer {API_KEY}"}):
            if (method, path) == ("POST", "/session"):
                continue
            given = body if method in ("POST", "PATCH", "PUT") else None
            status, _, answer = visitor.request(method, f"/api{path}", given, headers)
            assert status == 401, (method, path, status, answer[:200])
            assert method == "HEAD" or b"signed-out" in answer
            tried += 1
    assert tried > 100
    assert visitor.request("POST", "/api/session", {"code": "guess"})[0] == 403
    assert (
        visitor.request("POST", "/api/session", {"code": world.link().rpartition("/")[2]}, {"Origin": "http://evil"})[0]
        == 403
    )
    assert world.everything() == before
    evil = [one for one in world.events()[count:] if "evil" in one["subject"]]
    assert evil == []


def test_no_path_leads_past_the_dashboard_to_the_sidecar(world: Gateway, page: str) -> None:
    visitor = Visitor(page)
    for path in ("/../metrics", "/%2e%2e/metrics", "/..%2fmetrics", "/api/../../metrics", "/%2e%2e/api/health"):
        status, _, body = visitor.request("GET", path)
        assert b"openclaw_nats_" not in body, path
        assert b'"status":"up"' not in body, path
        assert status in (404, 200, 400), path  # 200: the Gateway's own page, when it resolves the path itself


def test_server_sent_events_come_through_the_gateway(world: Gateway, page: str) -> None:
    visitor = Visitor(page)
    visitor.sign_in(world.link().rpartition("/")[2])
    connection = http.client.HTTPConnection(visitor.host, timeout=20)
    connection.request("GET", f"{visitor.prefix}/api/live", headers=visitor.credentials())
    answer = connection.getresponse()
    assert answer.status == 200
    world.sidecar.publish("agent.events.custom.through", {"n": 1})
    for line in answer:
        if b"custom.through" in line:
            break
    else:
        raise AssertionError("the event did not come")
    connection.close()


def test_a_sidecar_that_is_away_is_told_and_comes_back(world: Gateway, page: str) -> None:
    visitor = Visitor(page)
    world.sidecar.kill()
    try:
        status, _, body = visitor.request("GET", "/", headers={"Accept": "text/html"})
        assert status == 502
        assert b"openclaw-nats start" in body
        assert visitor.call("GET", "/api/health")[1]["type"].endswith(":unavailable")
    finally:
        world.sidecar.start()
    wait_until(lambda: visitor.request("GET", "/")[0] == 200, 20, "the page")


@pytest.mark.nightly
def test_on_2026_3_the_dashboard_is_at_the_sidecars_own_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    one = Gateway(tmp_path_factory.mktemp("old"), "2026.3.1")
    try:
        one.start()
        wait_until(lambda: one.sidecar.get("/api/health")[1]["plugin"]["reachable"], 40, "the plugin's report")
        address, _, code = one.link().partition("#/sign-in/")
        assert address == f"{one.sidecar.url}/dashboard/"
        visitor = Visitor(address)
        visitor.sign_in(code)
        assert visitor.call("GET", "/api/health")[1]["plugin"]["reachable"] is True
        body = Visitor(one.gateway.url).request("GET", "/nats-dashboard/api/health")[2]
        assert b'"status"' not in body
    finally:
        one.close()
