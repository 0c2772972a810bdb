"""Real answers have the shapes that the OpenAPI document gives: the dashboard's types are made of these."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from openclaw_nats.api.openapi import document
from tests.support import jetstream
from tests.support.browser import Visitor, sign_in_code
from tests.support.processes import NatsServer, Sidecar, event, wait_until

DOCUMENT = document()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar with something of everything: routes, deliveries in each state, jobs, timers, runs, tokens."""
    folder = tmp_path_factory.mktemp("full")
    nats = NatsServer(folder / "nats-server")
    nats.start()
    one = Sidecar(folder / "state", nats)
    one.start()
    republish = {"kind": "subject", "subject": "agent.events.custom.copied"}
    one.call("POST", "/api/routes", {"name": "copies", "pattern": "agent.events.custom.copy", "target": republish})
    one.call("POST", "/api/routes", {"name": "waits", "pattern": "agent.events.custom.wait", "target": "main"})
    refused = {"kind": "webhook", "url": "http://127.0.0.1:1/"}
    retry = {"attempts": 1}
    route = {"name": "dies", "pattern": "agent.events.custom.die", "target": refused, "retry": retry, "flow": {}}
    one.call(
        "POST", "/api/routes", {**route, "when": "data.number >= 0", "priority": 7, "template": "{{ data.number }}"}
    )
    one.call("POST", "/api/cron", {"name": "daily", "cron": "@daily", "payload": {"a": 1}})
    one.call("POST", "/api/cron/daily/run")
    one.call("POST", "/api/timers", {"name": "later", "delay": "5h"})
    one.post_events([event(n, f"agent.events.custom.{name}") for n, name in enumerate(["copy", "wait", "die"])])
    tokens = {"model": "m", "provider": "p", "usage": {"input": 10, "output": 5, "total": 15}, "cost": 0.25}
    forged = event("forged", "agent.events.llm.output", agentid="main", data=tokens)
    jetstream.publish(nats, "agent.events.llm.output", json.dumps(forged).encode())  # counts nothing
    of_run = {"runid": "run-1", "agentid": "main", "sessionkey": "agent:main:main"}
    one.post_events(
        [
            event("model", "agent.events.llm.output", **{**of_run, "data": tokens}),
            event("sub", "agent.events.subagent.spawned", data={"requesterSessionKey": "agent:main:main"}),
            event("tool", "agent.events.tool.exec.completed", **of_run),
        ]
    )
    wait_until(lambda: one.get("/api/receipts")[1]["receipts"], what="a receipt")
    wait_until(lambda: one.get("/api/pending")[1]["total"], what="a waiting delivery")
    wait_until(lambda: one.get("/api/dead")[1]["total"], what="a dead letter")
    yield one
    one.close()
    nats.close()


def check(method: str, template: str, answer: Any, status: int = 200) -> None:
    """Hold an answer to its schema, with nothing beside it."""
    schema = DOCUMENT["paths"][template][method.lower()]["responses"][str(status)]["content"]["application/json"]
    strict = closed({"$defs": DOCUMENT["components"]["schemas"], **schema["schema"]})
    jsonschema.validate(answer, strict)


def closed(schema: Any) -> Any:
    """The schema, with its references inside it and no further fields allowed."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/components/schemas/", "#/$defs/")
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    if "allOf" in found:  # each part would refuse the other's fields
        found["allOf"] = [{**one, "additionalProperties": True} if "$ref" not in one else {} for one in found["allOf"]]
    return found


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/api/health", "/api/health"),
        ("/api/routes", "/api/routes"),
        ("/api/routes/{name}", "/api/routes/dies"),
        ("/api/deliveries", "/api/deliveries"),
        ("/api/deliveries", "/api/deliveries?event=id-2&state=dead"),
        ("/api/deliveries", "/api/deliveries?search=CUSTOM.DI"),
        ("/api/deliveries/{id}", "/api/deliveries/1"),
        ("/api/pending", "/api/pending"),
        ("/api/dead", "/api/dead?search=dies"),
        ("/api/receipts", "/api/receipts"),
        ("/api/cron", "/api/cron"),
        ("/api/cron/{name}", "/api/cron/daily"),
        ("/api/cron/{name}/history", "/api/cron/daily/history"),
        ("/api/timers", "/api/timers"),
        ("/api/timers/{name}", "/api/timers/later"),
        ("/api/live/recent", "/api/live/recent"),
        ("/api/activity", "/api/activity"),
        ("/api/activity", "/api/activity?window=day"),
        ("/api/runs/{id}", "/api/runs/run-1"),
        ("/api/usage", "/api/usage?since=24h"),
        ("/api/subjects", "/api/subjects"),
        ("/api/settings", "/api/settings"),
        ("/api/logs/deliveries", "/api/logs/deliveries?state=dead"),
        ("/api/logs/fires", "/api/logs/fires"),
        ("/api/logs/sidecar", "/api/logs/sidecar?level=info"),
        ("/api/sessions", "/api/sessions"),
    ],
)
def test_an_answer_has_its_shape_and_something_in_it(full: Sidecar, template: str, path: str) -> None:
    status, answer = full.get(path)
    assert status == 200, answer
    check("get", template, answer)
    listed = [value for value in answer.values() if isinstance(value, list)]
    if listed and template != "/api/sessions":
        assert any(listed), f"{path} has nothing to look at"


def test_details_have_their_shapes(full: Sidecar) -> None:
    for kind in ("pending", "dead"):
        number = full.get(f"/api/{kind}")[1]["deliveries"][0]["id"]
        check("get", f"/api/{kind}/{{id}}", full.get(f"/api/{kind}/{number}")[1])
        check("get", "/api/deliveries/{id}", full.get(f"/api/deliveries/{number}")[1])
    receipt = full.get("/api/receipts")[1]["receipts"][0]["id"]
    check("get", "/api/receipts/{id}", full.get(f"/api/receipts/{receipt}")[1])
    visitor = Visitor(f"{full.url}/dashboard")
    links = full.call("POST", "/api/sign-in-links")[1]
    check("post", "/api/sign-in-links", links, 201)
    check("post", "/api/session", visitor.sign_in(sign_in_code(full)), 201)
    check("get", "/api/session", visitor.call("GET", "/api/session")[1])


def test_a_run_is_its_own_events_its_subagents_and_what_they_led_to(full: Sidecar) -> None:
    answer = full.get("/api/runs/run-1")[1]
    assert [one["event"]["id"] for one in answer["events"]] == ["id-model", "id-sub", "id-tool"]
    assert answer["complete"] is True
    full.call("POST", "/api/routes", {"name": "tools", "pattern": "agent.events.tool.>", "target": "main"})
    full.post_events([event("tool-2", "agent.events.tool.exec.completed", runid="run-2")])
    wait_until(lambda: full.get("/api/runs/run-2")[1]["deliveries"], what="the run's delivery")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert full.get(f"/api/runs/run-2?around={now}")[1]["deliveries"]["id-tool-2"][0]["route"] == "tools"
    assert full.get("/api/runs/run-3")[1] == {"events": [], "complete": True, "deliveries": {}, "wokenBy": []}
    full.call("DELETE", "/api/routes/tools")


def test_tokens_are_counted_by_agent_and_model(full: Sidecar) -> None:
    row = full.get("/api/usage")[1]["rows"][0]
    assert (row["agent"], row["model"], row["calls"], row["input"], row["output"]) == ("main", "m", 1, 10, 5)
    assert row["cost"] == 0.25
    assert full.get("/api/usage?since=never")[0] == 400


def test_subjects_tell_what_is_stored_and_what_became_of_it(full: Sidecar) -> None:
    rows = {row["subject"]: row for row in full.get("/api/subjects")[1]["subjects"]}
    copied = rows["agent.events.custom.copy"]
    assert (copied["stored"], copied["lastHour"], copied["deliveries"]["delivered"]) == (1, 1, 1)
    assert copied["newest"] is not None
    assert rows["agent.events.custom.die"]["deliveries"]["dead"] == 1


def test_what_fired_is_listed_over_all_jobs(full: Sidecar) -> None:
    line = full.get("/api/logs/fires")[1]["lines"][0]
    assert (line["kind"], line["name"], line["outcome"], line["manual"]) == ("cron", "daily", "fired", True)
    assert full.get("/api/logs/fires?search=nothing")[1]["lines"] == []


def test_settings_show_where_each_came_from_and_no_secret(tmp_path: Any) -> None:
    nats = NatsServer(tmp_path / "nats")
    nats.start()
    one = Sidecar(tmp_path / "state", nats, "[stream]\nmax_age = '2d'\n")
    config = (one.home / "config.toml").read_text()
    (one.home / "config.toml").write_text(config.replace("nats://", "nats://openclaw-nats:test-nats-password@"))
    one.environment["OPENCLAW_NATS_LOG_LEVEL"] = "warning"
    one.start()
    try:
        answer = one.get("/api/settings")[1]
        rows = {row["name"]: row for row in answer["settings"]}
        assert rows["stream.max_age"]["from"] == str(one.home / "config.toml")
        assert rows["stream.max_age"]["value"] == "2d"
        assert rows["stream.max_bytes"]["value"] == "4GiB"
        assert rows["log.level"]["from"] == "OPENCLAW_NATS_LOG_LEVEL"
        assert rows["budget.turns_per_hour"]["from"] == "default"
        assert rows["nats.url"]["value"] == f"nats://openclaw-nats:***@127.0.0.1:{nats.port}"
        assert "test-nats-password" not in str(answer)
        assert answer["versions"]["nats-server"]
    finally:
        one.close()
        nats.close()


def test_a_route_is_checked_field_by_field_without_being_saved(full: Sidecar) -> None:
    wrong = {"name": "x", "pattern": "agent..events", "target": {"kind": "nothing"}, "when": "data.", "template": "{{"}
    status, answer = full.call("POST", "/api/checks/route", wrong)
    assert status == 200
    check("post", "/api/checks/route", answer)
    assert {one["field"] for one in answer["problems"]} == {"pattern", "target", "when", "template"}
    fine = {"name": "x", "pattern": "agent.events.custom.x", "target": "main"}
    assert full.call("POST", "/api/checks/route", fine)[1] == {"problems": []}
    for field, value in (("flow", {"debounce": "soon"}), ("name", "a/b"), ("priority", 11), ("until", "tomorrow")):
        problems = full.call("POST", "/api/checks/route", {**fine, field: value})[1]["problems"]
        assert [one["field"] for one in problems] == [field]
    assert "x" not in [one["name"] for one in full.get("/api/routes")[1]["routes"]]


def test_a_cron_job_is_checked_with_its_next_runs(full: Sidecar) -> None:
    status, answer = full.call(
        "POST", "/api/checks/cron", {"name": "x", "cron": "0 9 * * 1", "timezone": "Europe/Berlin"}
    )
    assert status == 200
    check("post", "/api/checks/cron", answer)
    assert len(answer["nextRuns"]) == 5
    problem = full.call("POST", "/api/checks/cron", {"name": "x", "cron": "0 9 31 2 *"})[1]["problems"][0]
    assert "never" in problem["message"]
