"""Routes over the API and the command line: saved, shown, changed, tried out, applied from a file, refused."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

FILE = """
[[route]]
name = "one"
pattern = "agent.events.custom.one.>"
target = "main"

[[route]]
name = "two"
pattern = "agent.events.custom.two.>"
target = { kind = "webhook", url = "http://127.0.0.1:9/x", secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }
flow = { batch = { size = 5, wait = "1s" } }
"""


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("routes")) as one:
        yield one


@pytest.fixture(autouse=True)
def _clean(bus: Bus) -> None:
    for route in bus.call("GET", "/api/routes")[1]["routes"]:
        bus.call("DELETE", f"/api/routes/{quote(route['name'])}")


def cli(bus: Bus, *arguments: str, code: int = 0) -> str:
    done = bus.sidecar.command(*arguments)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def test_saving_twice_is_the_same_route(bus: Bus) -> None:
    route = {"name": "a b.c", "pattern": "agent.events.custom.>", "target": "main"}
    assert bus.call("POST", "/api/routes", route)[0] == 201
    status, again = bus.call("POST", "/api/routes", {**route, "priority": 9})
    assert (status, again["priority"]) == (200, 9)
    assert len(bus.call("GET", "/api/routes")[1]["routes"]) == 1
    assert bus.call("GET", "/api/routes/a%20b.c")[1]["name"] == "a b.c"
    status, changed = bus.call("PATCH", "/api/routes/a%20b.c", {"priority": None, "enabled": False})
    assert (status, "priority" in changed, changed["enabled"]) == (200, False, False)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"name": "x", "pattern": "agent.events.>", "target": "main", "when": "data.a >"}, 422, "line 1, column 9"),
        ({"name": "x", "pattern": "nope", "target": "main"}, 422, "is not under"),
        ({"name": "x", "target": "main"}, 422, "pattern"),
        ([], 422, "JSON object"),
        (
            {
                "name": "x",
                "pattern": "agent.events.>",
                "target": {"kind": "webhook", "url": "https://x", "secret": "***"},
            },
            422,
            "stands for",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place_and_changes_nothing(
    bus: Bus, body: Any, status: int, detail: str
) -> None:
    found, problem = bus.call("POST", "/api/routes", body)
    assert found == status
    assert detail in problem["detail"]
    assert bus.call("GET", "/api/routes")[1]["routes"] == []


def test_unknown_names_and_parameters(bus: Bus) -> None:
    assert bus.call("GET", "/api/routes/nope")[0] == 404
    assert bus.call("PATCH", "/api/routes/nope", {})[0] == 404
    assert bus.call("DELETE", "/api/routes/nope")[0] == 404
    assert bus.call("POST", "/api/routes/nope/test", {"since": "1h"})[0] == 404
    assert bus.call("GET", "/api/pending?colour=red")[0] == 400
    assert bus.call("GET", "/api/dead?since=yesterday")[0] == 400
    assert bus.call("GET", "/api/receipts?limit=0")[0] == 400
    assert bus.call("POST", "/api/dead/redrive", {"everything": "yes"})[0] == 400
    assert bus.call("POST", "/api/dead/1/redrive")[0] == 404


def test_without_the_key_nothing_can_be_seen_or_done(bus: Bus) -> None:
    for method, path in (
        ("GET", "/api/routes"),
        ("POST", "/api/routes"),
        ("DELETE", "/api/routes/x"),
        ("GET", "/api/pending"),
        ("POST", "/api/dead/redrive"),
        ("GET", "/api/plugin/channel?instance=0123456789"),
        ("POST", "/api/plugin/results"),
    ):
        assert bus.sidecar.request(method, path, key="")[0] == 401


def test_a_dry_run_of_a_route_that_is_not_saved(bus: Bus) -> None:
    draft = {"name": "draft", "pattern": "agent.events.custom.dry.>", "target": "main", "when": "data.n > 1"}
    for number in range(5):
        bus.publish("dry.x", {"n": number})
    flow = {**draft, "flow": {"batch": {"size": 2, "wait": "1m"}}}
    status, report = bus.call("POST", "/api/routes/draft/test", {"since": "1h", "route": flow})
    assert status == 200
    assert (report["events"], report["matched"], report["turns"], report["avoided"]) == (5, 3, 2, 1)
    assert '{"n":2}' in report["firstTurns"][0]["text"]
    assert report["firstTurns"][0]["at"] < report["firstTurns"][1]["at"]
    status, report = bus.call(
        "POST",
        "/api/routes/draft/test",
        {"event": {"subject": "agent.events.custom.dry.x", "data": {}}, "route": draft},
    )
    assert (report["matched"], report["judged"][0]["reason"][:12]) == (0, "dead letter:")
    assert bus.messages() == []


def test_lists_have_filters_and_cursors(bus: Bus) -> None:
    bus.route("held", "agent.events.custom.held.>", "main", flow={"debounce": "1h"})
    for number in range(7):
        bus.publish(f"held.{number % 2}", {"n": number}, sessionKey=f"s{number % 2}")
    deadline = time.monotonic() + 10
    while len(bus.pending()) < 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    first = bus.call("GET", "/api/pending?route=held&limit=4")[1]
    second = bus.call("GET", f"/api/pending?route=held&limit=4&cursor={first['cursor']}")[1]
    ids = [one["id"] for one in first["deliveries"] + second["deliveries"]]
    assert (len(ids), len(set(ids)), second["cursor"]) == (7, 7, None)
    assert ids == sorted(ids, reverse=True)
    assert len(bus.call("GET", "/api/pending?subject=agent.events.custom.held.1")[1]["deliveries"]) == 3
    assert len(bus.call("GET", "/api/pending?session=s0&since=1h")[1]["deliveries"]) == 4
    assert bus.call("GET", "/api/pending?until=1h")[1]["deliveries"] == []
    assert first["deliveries"][0]["reason"] == "debounce"
    assert cli(bus, "pending", "--route", "held").count("debounce") == 7
    number = first["deliveries"][0]["id"]
    assert "taken into the inbox" in cli(bus, "pending", "show", str(number))
    assert "dropped 1" in cli(bus, "pending", "drop", str(number))


def test_a_file_is_applied_after_its_differences(bus: Bus, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(FILE)
    shown = cli(bus, "routes", "apply", "-f", str(file), "--dry-run")
    assert "+ one" in shown
    assert bus.call("GET", "/api/routes")[1]["routes"] == []
    cli(bus, "routes", "apply", "-f", str(file), "--yes")
    assert "nothing to change" in cli(bus, "routes", "apply", "-f", str(file), "--yes")
    file.write_text(FILE.replace('"main"', '"agent:ops:x"').split('[[route]]\nname = "two"')[0])
    changes = json.loads(cli(bus, "routes", "apply", "-f", str(file), "--dry-run", "--prune", "--json"))["changes"]
    assert [(change["change"], change["route"]) for change in changes] == [("change", "one"), ("remove", "two")]
    assert "target" in changes[0]["detail"]
    cli(bus, "routes", "apply", "-f", str(file), "--yes", "--prune")
    assert [route["name"] for route in bus.call("GET", "/api/routes")[1]["routes"]] == ["one"]
    file.write_text("[[route]]\nname = 1\n")
    assert "has no name" in cli(bus, "routes", "apply", "-f", str(file), code=2)


def test_routes_from_the_command_line(bus: Bus) -> None:
    flow = "--debounce 30s --rate 20/1h --batch 50/10s --quiet 22:00-07:00@Europe/Amsterdam".split()
    more = ["--payload", '{"x": 1}', "--set", 'confirm="ended"', "--instruction", "Say who it was."]
    cli(bus, "routes", "add", "door", "agent.events.custom.door.>", "agent:ops", *flow, *more)
    route = json.loads(cli(bus, "routes", "show", "door", "--json"))
    assert route["target"] == {"kind": "agent", "agentId": "ops"}
    assert route["flow"]["quietHours"] == {"from": "22:00", "to": "07:00", "timezone": "Europe/Amsterdam"}
    assert (route["flow"]["rate"], route["flow"]["batch"]) == ({"count": 20, "per": "1h"}, {"size": 50, "wait": "10s"})
    assert (route["confirm"], route["instruction"]) == ("ended", "Say who it was.")
    cli(bus, "routes", "edit", "door", "--concurrency", "4", "--set", "payload=null")
    route = json.loads(cli(bus, "routes", "show", "door", "--json"))
    assert (route["flow"]["concurrency"], route["flow"]["debounce"]) == (4, "30s")
    assert "payload" not in route
    cli(bus, "routes", "disable", "door")
    assert "(disabled)" in cli(bus, "routes", "list")
    cli(bus, "routes", "enable", "door")
    assert "matched" not in cli(bus, "routes", "remove", "door")
    assert "No routes yet" in cli(bus, "routes")
    error = cli(bus, "routes", "add", "bad", "agent.events.custom.>", "main", "--when", "data.x ==", code=2)
    assert error.startswith("Error: --when: line 1, column 10")
    assert "Try:" in error
    assert "there is no route" in cli(bus, "routes", "show", "door", code=2)
    assert cli(bus, "dead", "redrive", code=2)


def test_a_route_that_is_saved_has_a_guard_and_one_from_before_has_none(bus: Bus) -> None:
    saved = bus.route("guarded", "agent.events.custom.a", "main")
    assert (saved["tools"], saved["guard"]) == ("read", "ask")
    cli(bus, "routes", "edit", "guarded", "--tools", "read, exec(cut -d, *),nats_*", "--guard", "block")
    saved = json.loads(cli(bus, "routes", "show", "guarded", "--json"))
    assert (saved["tools"], saved["guard"]) == (["read", "exec(cut -d, *)", "nats_*"], "block")
    assert bus.call("PATCH", "/api/routes/guarded", {"guard": None, "tools": None})[1]["guard"] == "ask"
    error = cli(bus, "routes", "edit", "guarded", "--tools", "exec(sh *)", code=2)
    assert error.startswith("Error: --tools")
    bus.sidecar.close()
    with contextlib.closing(sqlite3.connect(bus.sidecar.home / "sidecar.db")) as db, db:
        db.execute("UPDATE routes SET document = json_remove(document, '$.guard') WHERE name = 'guarded'")
    bus.sidecar.start()
    found = bus.call("GET", "/api/routes/guarded")
    assert found[0] == 200, found
    assert found[1]["guard"] == "off"
    wait_until(lambda: bus.call("PATCH", "/api/routes/guarded", {"priority": 4})[0] == 200, 20, "NATS")
    assert bus.call("GET", "/api/routes/guarded")[1]["guard"] == "off"
    assert bus.call("PATCH", "/api/routes/guarded", {"guard": "block"})[1]["guard"] == "block"
    bus.call("DELETE", "/api/routes/guarded")


def test_changes_that_leave_no_enabled_route_leave_the_sidecar_alive(bus: Bus) -> None:
    bus.route("one", "agent.events.custom.alive", "main")
    before = bus.states()["delivered"]
    bus.publish("alive", {"n": 1})
    wait_until(lambda: bus.states()["delivered"] > before, 20, "a delivery")
    assert bus.call("PATCH", "/api/routes/one", {"enabled": False})[0] == 200
    time.sleep(1)  # by now nothing is subscribed to any more
    assert bus.call("PATCH", "/api/routes/one", {"priority": 3})[0] == 200  # and this changes nothing about that
    began = time.monotonic()
    assert bus.call("GET", "/api/routes/one")[0] == 200
    assert time.monotonic() - began < 5


def test_a_route_ends_at_its_until_and_what_waited_for_it_is_dropped(bus: Bus) -> None:
    until = datetime.now(UTC) + timedelta(seconds=3)
    bus.route("short", "agent.events.custom.short", "main", flow={"debounce": "1h"}, until=until.isoformat())
    before = bus.states()
    bus.publish("short", {"n": 1})
    wait_until(lambda: bus.call("GET", "/api/routes/short")[0] == 404, 20, "the route's end")
    states = wait_until(lambda: (now := bus.states())["dropped"] > before["dropped"] and now, 10, "the drop")
    assert states["pending"] == before["pending"]
    status, problem = bus.call(
        "POST", "/api/routes", {"name": "x", "pattern": "agent.events.>", "target": "main", "until": "tomorrow"}
    )
    assert (status, "until must be an RFC 3339 time" in problem["detail"]) == (422, True)
