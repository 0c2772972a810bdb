"""The audit log on a real sidecar: every administrative act is in it, with who, and nothing replaces it quietly."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from openclaw_nats.api.openapi import document
from tests.support.browser import Visitor, sign_in_code
from tests.support.inbound import Bus, running_bus
from tests.support.installation import Installation
from tests.support.processes import wait_until

CONFIG = "[stream]\nduplicate_window = '10s'\n"
# What is no administrative act: events, reports and questions; a tool's acts are recorded where they are done.
NOT_RECORDED = {
    ("post", "/api/publish"),
    ("post", "/api/events"),
    ("post", "/api/plugin/report"),
    ("post", "/api/plugin/results"),
    ("post", "/api/plugin/probe"),
    ("post", "/api/certificate"),
    ("post", "/api/checks/route"),
    ("post", "/api/checks/cron"),
    ("post", "/api/routes/{name}/test"),
    ("post", "/api/sources/{name}/test"),
    ("post", "/api/tools/{name}"),
    ("delete", "/api/session"),  # of a browser: test_a_browsers_acts_name_its_session
    ("post", "/api/session"),
}

# Recorded, and tried where there is what they need: another Gateway, an approval, a source (test_sources.py).
ELSEWHERE = {
    ("post", "/api/alerts"),
    ("patch", "/api/alerts/{name}"),
    ("delete", "/api/alerts/{name}"),
    ("post", "/api/alerts/{name}/test"),
    ("post", "/api/sources"),
    ("patch", "/api/sources/{name}"),
    ("delete", "/api/sources/{name}"),
    ("post", "/api/sources/{name}/rotate"),
    ("post", "/api/quarantine/release"),
    ("post", "/api/quarantine/drop"),
    ("post", "/api/schedules/take"),
    ("post", "/api/approvals/{id}/approve"),
    ("post", "/api/approvals/{id}/deny"),
}


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("audit")) as one:
        yield one


def log_of(bus: Any, **query: Any) -> list[dict[str, Any]]:
    """The records, the oldest first."""
    status, found = bus.call("GET", f"/api/audit?{urlencode({'limit': 1000, **query})}")
    assert status == 200, found
    return list(reversed(found["records"]))


def acts(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["act"], one.get("about", ""), one.get("stage", "done")) for one in found]


def sound(bus: Any) -> dict[str, Any]:
    status, found = bus.call("GET", "/api/audit/verify")
    assert status == 200
    assert found["sound"], found["problem"]
    return dict(found)


def dead_letters(bus: Bus, count: int) -> list[int]:
    """So many of the route dies, and as many of the route dies-too; the numbers of the first."""
    for port, name in ((1, "dies"), (2, "dies-too")):
        away = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/"}
        bus.route(name, "agent.events.custom.die", away, retry={"attempts": 1})
    for _ in range(count):
        bus.publish("die")
    wait_until(lambda: bus.call("GET", "/api/dead")[1]["total"] == 2 * count, 60, "the dead letters")
    return [one["id"] for one in bus.call("GET", "/api/dead?route=dies")[1]["deliveries"]]


def test_every_operation_that_changes_something_is_recorded(bus: Bus) -> None:
    dead = dead_letters(bus, 5)
    bus.route("held", "agent.events.custom.held", "main", flow={"debounce": "10h"})
    away = {"kind": "webhook", "url": "http://127.0.0.1:1/"}
    bus.route("waits", "agent.events.custom.waits", away, retry={"attempts": 5, "backoff": ["1h"]})
    bus.publish("held")
    bus.publish("waits")
    wait_until(lambda: len(bus.pending()) >= 2 and any(one["state"] == "failed" for one in bus.pending()))
    held = next(one["id"] for one in bus.pending() if one["route"] == "held")
    failed = next(one["id"] for one in bus.pending() if one["state"] == "failed")
    session = Visitor(f"{bus.sidecar.url}/dashboard").sign_in(sign_in_code(bus.sidecar))["id"]
    job, timer = {"name": "j", "cron": "0 5 * * *"}, {"name": "t", "delay": "9h"}
    route = {"name": "r", "pattern": "agent.events.custom.r", "target": "main"}
    calls: list[tuple[str, str, str, Any]] = [
        ("post", "/api/routes", "", route),
        ("patch", "/api/routes/{name}", "r", {"priority": 9}),
        ("delete", "/api/routes/{name}", "r", None),
        ("post", "/api/pause", "", {"reason": "x"}),
        ("post", "/api/resume", "", {}),
        ("post", "/api/pending/{id}/retry", str(failed), {}),
        ("post", "/api/pending/{id}/drop", str(held), {}),
        ("post", "/api/dead/{id}/drop", str(dead[0]), {}),
        ("post", "/api/dead/{id}/redrive", str(dead[1]), {}),
        ("post", "/api/dead/redrive", "", {"route": "dies", "since": "1h"}),
        ("post", "/api/dead/drop", "", {"route": "dies-too"}),
        ("post", "/api/cron", "", job),
        ("patch", "/api/cron/{name}", "j", {"cron": "0 6 * * *"}),
        ("post", "/api/cron/{name}/run", "j", {}),
        ("post", "/api/cron/{name}/pause", "j", {}),
        ("post", "/api/cron/{name}/resume", "j", {}),
        ("delete", "/api/cron/{name}", "j", None),
        ("post", "/api/timers", "", timer),
        ("delete", "/api/timers/{name}", "t", None),
        ("post", "/api/expectations", "", {"name": "e", "by": "agent.events.custom.e", "every": "1d"}),
        ("patch", "/api/expectations/{name}", "e", {"every": "2d"}),
        ("post", "/api/expectations/{name}/test", "e", {}),
        ("delete", "/api/expectations/{name}", "e", None),
        ("post", "/api/sign-in-links", "", {}),
        ("delete", "/api/sessions/{id}", session, None),
        ("post", "/api/audit", "", {"act": "config.set", "about": "log.level"}),
        ("post", "/api/events/reindex", "", {}),
    ]
    tried = {(method, path) for method, path, _, _ in calls}
    there = {
        (method, path)
        for path, methods in document()["paths"].items()
        for method in methods
        if method in ("post", "put", "patch", "delete")
    }
    assert there - tried - NOT_RECORDED == ELSEWHERE
    for method, path, name, body in calls:
        before = len(log_of(bus))
        status, answer = bus.call(method.upper(), path.replace("{name}", name).replace("{id}", name), body)
        assert status < 300, (path, answer)
        found = log_of(bus)[before:]
        assert found, (method, path)
        assert {one["who"] for one in found} == {"the API key"}
    change = next(one for one in log_of(bus) if one["act"] == "routes.change")
    assert (change["before"].get("priority"), change["after"]) == (None, {"priority": 9})
    sound(bus)


def test_a_refused_act_changes_nothing_and_is_no_record(bus: Bus) -> None:
    before = len(log_of(bus))
    assert bus.call("POST", "/api/routes", {"name": "bad", "pattern": "nowhere", "target": "main"})[0] == 422
    assert bus.call("DELETE", "/api/cron/nobody")[0] == 404
    assert bus.call("POST", "/api/dead/redrive", {"route": "nobody"})[0] == 200
    assert bus.call("POST", "/api/audit", {"act": "routes.add"})[0] == 400, "only what commands do without the sidecar"
    assert len(log_of(bus)) == before


def test_a_browsers_acts_name_its_session(bus: Bus) -> None:
    visitor = Visitor(f"{bus.sidecar.url}/dashboard")
    session = visitor.sign_in(sign_in_code(bus.sidecar))["id"]
    route = {"name": "by-browser", "pattern": "agent.events.custom.b", "target": "main"}
    assert visitor.call("POST", "/api/routes", route)[0] == 201
    assert visitor.call("PATCH", "/api/routes/by-browser", {"enabled": False})[0] == 200
    assert visitor.call("DELETE", "/api/routes/by-browser")[0] == 204
    assert visitor.call("GET", "/api/audit?limit=1")[0] == 200
    assert visitor.call("POST", "/api/audit", {"act": "config.set"})[0] == 405, "a browser writes nothing into it"
    assert visitor.call("DELETE", "/api/session")[0] == 204
    found = [one for one in log_of(bus) if one["who"] == f"dashboard {session}"]
    assert acts(found) == [
        ("dashboard.sign-in", session, "done"),
        ("routes.add", "by-browser", "done"),
        ("routes.change", "by-browser", "done"),
        ("routes.remove", "by-browser", "done"),
        ("dashboard.sign-out", session, "done"),
    ]
    lines = [json.loads(one) for one in (bus.sidecar.home / "logs" / "sidecar.log").read_text().splitlines()]
    told = [one for one in lines if one["event"] == "audit" and one["who"] == f"dashboard {session}"]
    assert [one["act"] for one in told] == [one["act"] for one in found]
    assert told[2]["fields"] == ["enabled"]


def test_an_agents_acts_name_agent_and_session(bus: Bus) -> None:
    caller = {"agentId": "guest", "sessionKey": "agent:guest:main", "tainted": True}
    for name, parameters in (
        ("nats_subscribe", {"pattern": "agent.events.custom.guest", "name": "mine"}),
        ("nats_route_update", {"id": "mine", "priority": 3}),
        ("nats_unsubscribe", {"id": "mine"}),
        ("nats_cron_add", {"name": "its", "cron": "0 5 * * *"}),
        ("nats_cron_toggle", {"name": "its"}),
        ("nats_cron_run", {"name": "its"}),
        ("nats_cron_remove", {"name": "its"}),
        ("nats_timer_set", {"name": "tea", "delay": "1h"}),
        ("nats_timer_cancel", {"name": "tea"}),
    ):
        before = len(log_of(bus))
        status, answer = bus.call("POST", f"/api/tools/{name}", {"caller": caller, "parameters": parameters})
        assert status == 200, (name, answer)
        found = log_of(bus)[before:]
        assert found, name
        assert {one["who"] for one in found} == {"agent:guest in agent:guest:main (tainted)"}, name


def test_what_is_in_nats_has_a_record_whenever_the_sidecar_is_killed(bus: Bus) -> None:
    def work(worker: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):  # it is killed meanwhile
            for number in range(100):
                bus.call("POST", "/api/cron", {"name": f"killed {worker}-{number}", "cron": "0 5 * * *"})

    before = len(log_of(bus, search="killed "))
    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for one in workers:
        one.start()
    wait_until(lambda: len(log_of(bus, search="killed ")) > before + 40, 30, "some jobs")
    bus.sidecar.kill()
    for one in workers:
        one.join()
    bus.sidecar.start()
    made = {one["name"] for one in bus.call("GET", "/api/cron")[1]["jobs"] if one["name"].startswith("killed ")}
    found = acts(log_of(bus, search="killed "))
    assert len(made) >= 20
    assert made <= {about for _, about, stage in found if stage == "begun"}
    assert len(found) <= 2 * len(made) + 2 * len(workers)
    sound(bus)


def test_commands_are_recorded_while_it_runs_and_while_it_does_not(house: Installation) -> None:
    house.run("config", "set", "log.level", "debug")
    wait_until(lambda: house.sidecar.get("/api/health", key="")[0] == 200)
    house.stop()
    house.run("config", "set", "log.level", "info")
    house.run("config", "set", "nonsense", "1", code=2)
    house.start()
    found = log_of(house.sidecar, search="config.set")
    assert acts(found) == [
        ("config.set", "log.level", "begun"),
        ("config.set", "log.level", "ended"),
        ("config.set", "log.level", "begun"),
        ("config.set", "log.level", "ended"),
    ]
    assert {one["who"] for one in found} == {"the command line"}
    assert [(one.get("before"), one.get("after")) for one in found][1::2] == [("info", "debug"), ("debug", "info")]
    answer = house.run("audit", "--search", "config.set")
    assert [one["number"] for one in answer["records"]] == [one["number"] for one in reversed(found)]
    assert house.run("audit", "verify")["sound"] is True
    newest = max(one["number"] for one in log_of(house.sidecar))
    house.stop()
    with closing(sqlite3.connect(house.home / "sidecar.db")) as db, db:
        db.execute("DELETE FROM audit WHERE number = ?", (newest,))
    house.start()
    problem = house.run("audit", "verify", code=1)["problem"]
    assert f"missing: {newest} to {newest}" in problem


def test_a_restore_does_not_replace_the_log(house: Installation, tmp_path: Path) -> None:
    route = {"name": "before", "pattern": "agent.events.custom.a", "target": "main"}
    assert house.sidecar.call("POST", "/api/routes", route)[0] == 201
    file = tmp_path / "backup.tar.gz"
    house.run("backup", str(file))
    assert house.sidecar.call("POST", "/api/routes", route | {"name": "after"})[0] == 201
    before = log_of(house.sidecar)
    house.stop()
    house.run("restore", str(file), "--yes")
    house.start()
    names = [one["name"] for one in house.sidecar.call("GET", "/api/routes")[1]["routes"]]
    assert names == ["before"]
    found = log_of(house.sidecar)
    assert found[: len(before)] == before, "what was done since the backup stays in the log"
    assert acts(found)[len(before) :] == [("restore", str(file), "begun"), ("restore", str(file), "ended")]
    sound(house.sidecar)


def test_on_a_new_machine_the_log_of_the_backup_goes_on(house: Installation, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    house.run("config", "set", "log.level", "debug")
    house.run("backup", str(file))
    other = Installation(tmp_path / "other")
    other.run("restore", str(file), "--yes")  # while the old one still runs
    house.stop()
    other.ports = house.ports
    other.start()
    try:
        found = acts(log_of(other.sidecar))
        assert ("config.set", "log.level", "ended") in found
        assert ("backup", str(file), "begun") in found
        assert ("restore", str(file), "ended") in found
        sound(other.sidecar)
    finally:
        other.stop()
