"""The requests of scripts written for @omnixal/openclaw-nats-plugin, and what they effect here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import NatsServer, Sidecar, wait_until

Check = Callable[[Sidecar, Any], object]


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    folder = tmp_path_factory.mktemp("compat")
    nats = NatsServer(folder / "nats-server")
    nats.start()
    one = Sidecar(folder / "state", nats)
    one.start()
    yield one
    one.close()
    nats.close()


def ask(bus: Sidecar, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """A request as such a script sends it: with the key, and nothing said of versions."""
    headers = {"Accept": "*/*"} | ({"Content-Type": "application/json"} if body is not None else {})
    status, _, answer = bus.request(method, path, None if body is None else json.dumps(body).encode(), headers)
    return status, json.loads(answer)


FILTER = {"logic": "and", "conditions": [{"field": "state", "op": "eq", "value": "open"}]}
# In order: each line rests on those before it.
TABLE: list[tuple[str, str, Any, Check]] = [
    (
        "POST",
        "/api/publish",
        {
            "subject": "agent.events.custom.door",
            "payload": {"state": "open"},
            "meta": {"priority": 8, "traceId": "t-1"},
        },
        lambda bus, result: (
            result["published"] is True
            and bus.events()[-1]["data"] == {"state": "open"}
            and bus.events()[-1]["priority"] == 8
        ),
    ),
    (
        "POST",
        "/api/routes",
        {
            "pattern": "agent.events.custom.door.>",
            "target": "main",
            "priority": 7,
            "payload": {"a": 1},
            "filter": FILTER,
        },
        lambda bus, result: (
            result["id"] == result["name"] == "agent.events.custom.door.>"
            and result["target"] == "agent:main:main"
            and bus.get("/api/routes/agent.events.custom.door.%3E")[1]["priority"] == 7
            and result["filter"] == FILTER
            and result["payload"] == {"a": 1}
        ),
    ),
    (
        "POST",
        "/api/routes",
        {"pattern": "agent.events.custom.bell", "name": "bell"},
        lambda bus, result: result["name"] == "bell" and result["enabled"] is True,
    ),
    (
        "POST",
        "/api/routes",
        {"pattern": "agent.events.custom.bell.>", "name": "bell"},  # upsert by name
        lambda bus, result: len(bus.get("/api/routes")[1]["routes"]) == 2 and result["pattern"].endswith("bell.>"),
    ),
    ("GET", "/api/routes", None, lambda bus, result: {one["name"] for one in result} >= {"bell"}),
    (
        "PATCH",
        "/api/routes/bell",
        {"enabled": False, "priority": 3},
        lambda bus, result: result["enabled"] is False and bus.get("/api/routes/bell")[1]["priority"] == 3,
    ),
    ("GET", "/api/routes/status", None, lambda bus, result: result[0]["counts"]["matched"] == 0),
    ("GET", "/api/routes/health", None, lambda bus, result: "waitingSince" in result[0]),
    (
        "DELETE",
        "/api/routes/bell",
        None,
        lambda bus, result: result["deleted"] is True and bus.get("/api/routes/bell")[0] == 404,
    ),
    (
        "POST",
        "/api/cron",
        {"name": "report", "cron": "0 9 * * 1-5", "subject": "agent.events.cron.report", "payload": {"what": "all"}},
        lambda bus, result: (
            result["expr"] == "0 9 * * 1-5"
            and result["timezone"] == "UTC"
            and bus.get("/api/cron/report")[1]["payload"] == {"what": "all"}
        ),
    ),
    ("GET", "/api/cron", None, lambda bus, result: [one["name"] for one in result] == ["report"]),
    (
        "PATCH",
        "/api/cron/report",
        {"cron": "0 10 * * *", "timezone": "Europe/Berlin"},
        lambda bus, result: result["cron"] == "0 10 * * *" and result["timezone"] == "Europe/Berlin",
    ),
    (
        "PATCH",
        "/api/cron/report/toggle",
        None,
        lambda bus, result: result["enabled"] is False and bus.get("/api/cron/report")[1]["enabled"] is False,
    ),
    (
        "PATCH",
        "/api/cron/report/toggle",
        None,
        lambda bus, result: result["enabled"] is True and bus.get("/api/cron/report")[1]["enabled"] is True,
    ),
    (
        "POST",
        "/api/cron/report/run",
        None,
        lambda bus, result: (
            result["fired"] is True
            and wait_until(lambda: [one for one in bus.events() if one["subject"] == "agent.events.cron.report"])
        ),
    ),
    (
        "POST",
        "/api/cron/timer",
        {"name": "tea", "delayMs": 3_600_000, "subject": "agent.events.timer.tea", "payload": {"cups": 2}},
        lambda bus, result: (
            result["fired"] is False
            and abs(result["delayMs"] - 3_600_000) < 2000
            and bus.get("/api/timers/tea")[1]["payload"] == {"cups": 2}
        ),
    ),
    ("GET", "/api/cron/timer", None, lambda bus, result: [one["name"] for one in result] == ["tea"]),
    (
        "DELETE",
        "/api/cron/timer/tea",
        None,
        lambda bus, result: result["deleted"] is True and bus.get("/api/timers/tea")[0] == 404,
    ),
    (
        "DELETE",
        "/api/cron/report",
        None,
        lambda bus, result: result["deleted"] is True and bus.get("/api/cron/report")[0] == 404,
    ),
    (
        "GET",
        "/api/health",
        None,
        lambda bus, result: (
            result["nats"]["connected"] is True
            and result["gateway"]["connected"] is False
            and result["pendingCount"] == 0
            and result["uptimeSeconds"] >= 0
        ),
    ),
    (
        "GET",
        "/api/metrics",
        None,
        lambda bus, result: {"agent.events.custom.door"} <= {one["subject"] for one in result if one["published"] == 1},
    ),
    ("GET", "/api/logs?entityType=route&limit=5", None, lambda bus, result: result == {"items": [], "total": 0}),
    ("GET", "/api/logs/recent", None, lambda bus, result: result["items"] == []),
]


def test_its_requests_have_their_effects(bus: Sidecar) -> None:
    for method, path, body, check in TABLE:
        status, answer = ask(bus, method, path, body)
        assert status in (200, 201), (method, path, answer)
        assert answer["success"] is True
        assert check(bus, answer["result"]), (method, path, answer)


def test_pending_events_by_session_are_listed_and_marked(bus: Sidecar) -> None:
    held = {"name": "held", "pattern": "agent.events.custom.held", "target": "main", "flow": {"debounce": "1h"}}
    assert bus.call("POST", "/api/routes", held)[0] == 201
    for number in range(3):
        bus.publish("agent.events.custom.held", {"n": number}, sessionKey="agent:main:telegram:5")
    rows = wait_until(
        lambda: len(found := ask(bus, "GET", "/api/pending/agent%3Amain%3Atelegram%3A5")[1]["result"]) == 3 and found
    )
    assert {row["sessionKey"] for row in rows} == {"agent:main:telegram:5"}
    status, answer = ask(bus, "POST", "/api/pending/mark-delivered", {"ids": [rows[0]["id"], rows[1]["id"], "999999"]})
    assert (status, answer["result"]) == (200, {"marked": 2})
    assert len(ask(bus, "GET", "/api/pending/agent%3Amain%3Atelegram%3A5")[1]["result"]) == 1
    assert ask(bus, "POST", "/api/pending/mark-delivered", {"ids": "all"})[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/publish", {"subject": "a..b", "payload": 1}, 422),
        ("POST", "/api/routes", {"pattern": "agent.events..x"}, 422),
        ("POST", "/api/cron", {"name": "x", "cron": "never"}, 422),
        ("PATCH", "/api/cron/nobody/toggle", None, 404),
        ("DELETE", "/api/cron/timer/nobody", None, 404),
        ("POST", "/api/cron/timer", {"name": "x"}, 422),
    ],
)
def test_errors_say_no_success_and_why_with_a_proper_status(
    bus: Sidecar, method: str, path: str, body: Any, status: int
) -> None:
    found, answer = ask(bus, method, path, body)
    assert found == status
    assert answer["success"] is False
    assert answer["error"] == answer["detail"]


def test_who_asks_for_our_form_gets_it_alone(bus: Sidecar) -> None:
    assert "success" not in bus.get("/api/routes")[1]
    assert "success" not in bus.publish("agent.events.custom.x", 1)[1]


def test_without_the_switch_there_is_nothing_of_it(tmp_path: Any, nats: NatsServer) -> None:
    one = Sidecar(tmp_path / "state", nats, "compat = false\n")
    one.start()
    try:
        assert "success" not in ask(one, "POST", "/api/publish", {"subject": "agent.events.custom.x", "payload": 1})[1]
        assert ask(one, "POST", "/api/cron/timer", {"name": "x", "delayMs": 1000})[0] in (404, 405)
        assert ask(one, "GET", "/api/metrics")[0] == 404
        assert ask(one, "POST", "/api/routes", {"pattern": "agent.events.custom.x"})[0] == 422
    finally:
        one.close()


def test_a_visitor_without_the_key_finds_none_of_it(bus: Sidecar) -> None:
    for method, path, _, _ in TABLE:
        if path != "/api/health":
            assert bus.request(method, path, b"{}", {"Accept": "*/*"}, key="")[0] == 401
