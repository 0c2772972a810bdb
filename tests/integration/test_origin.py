"""Who said it: what a sealed event proves, and every way to pretend that does not work."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.inbound import Routed
from tests.support.jetstream import api, publish
from tests.support.processes import NatsServer, Sidecar, event, wait_until

GATEWAY = "agent.events.message.received"
CUSTOM = "agent.events.custom.a"
JSON = {"Content-Type": "application/json"}


class Origins(Routed):
    """A sidecar whose routes copy what they get to a subject that no route wants."""

    def __init__(self, folder: Path, nats: NatsServer) -> None:
        self.nats = nats
        self.sidecar = Sidecar(folder, nats)

    def copy(self, name: str, pattern: str, **more: Any) -> None:
        """A route to agent.events.copies."""
        self.route(name, pattern, {"kind": "subject", "subject": "agent.events.copies"}, **more)

    def plain(self, subject: str, data: Any, headers: dict[str, str] | None = None, **more: Any) -> int:
        """Publish over NATS, as a program would; the sequence."""
        body = json.dumps({**event("x", subject, data=data, id=f"{data}", source="openclaw://here"), **more}).encode()
        return int(publish(self.nats, subject, body, headers)["seq"])

    def deliveries(self, count: int, query: str = "") -> list[dict[str, Any]]:
        """The deliveries, oldest first, once there are so many and none is under way."""

        def found() -> list[dict[str, Any]]:
            rows = self.call("GET", f"/api/deliveries?limit=1000{query}")[1]["deliveries"]
            return [row for row in rows if row["route"] != "marker"]

        def ended() -> bool:
            rows = found()
            return len(rows) >= count and not any(row["state"] in ("pending", "sending", "failed") for row in rows)

        wait_until(ended, what=f"{count} deliveries that ended")
        rows = found()
        assert len(rows) == count, rows
        return rows[::-1]

    def marker(self) -> None:
        """Wait until everything before this moment was taken in."""
        before = len(self.of("marker"))
        assert self.sidecar.publish("agent.events.marker")[0] == 200
        wait_until(lambda: len(self.of("marker")) > before, what="the marker")

    def of(self, route: str) -> list[dict[str, Any]]:
        """A route's deliveries, newest first."""
        return list(self.call("GET", f"/api/deliveries?route={route}&limit=1000")[1]["deliveries"])

    def stored(self, sequence: int) -> tuple[str, dict[str, str], bytes]:
        """Subject, headers and body of a message of the stream."""
        one = api(self.nats, "STREAM.MSG.GET.agent_events", {"seq": sequence})["message"]
        lines = base64.b64decode(one.get("hdrs", "")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        return one["subject"], headers, base64.b64decode(one["data"])

    def shown(self) -> list[tuple[str, str, bool]]:
        """(subject, origin, tainted) of everything in the stream."""
        lines = self.sidecar.request("GET", "/api/events?numbered=true")[2]
        found = [json.loads(line) for line in lines.splitlines() if line.strip()]
        return [(one["event"]["subject"], one["origin"], one["tainted"]) for one in found]

    def tool(self, name: str, parameters: Any, agent: str = "guest", **caller: Any) -> Any:
        """An agent's tool call."""
        who = {"agentId": agent, "sessionKey": f"agent:{agent}:main", **caller}
        status, answer = self.call("POST", f"/api/tools/{name}", {"caller": who, "parameters": parameters})
        assert status == 200, answer
        self.outside = answer.get("outside")
        return answer["result"]


@pytest.fixture
def bus(tmp_path: Path, nats: NatsServer) -> Iterator[Origins]:
    found = Origins(tmp_path / "state", nats)
    found.sidecar.start()
    found.copy("marker", "agent.events.marker")
    yield found
    found.sidecar.close()


def test_nobody_speaks_as_the_gateway_or_the_bus(bus: Origins) -> None:
    subjects = (GATEWAY, "agent.events.tool.exec.failed", "agent.events.cron.morning", "agent.events.agents.main.x")
    for number, subject in enumerate(subjects):
        bus.copy(f"r{number}", subject)
    sequence = bus.sidecar.publish(CUSTOM, "said by the operator")[1]["sequence"]
    _, headers, _ = bus.stored(sequence)
    seal = headers["Openclaw-Nats-Seal"]
    forged = (
        None,
        {"Openclaw-Nats-Seal": seal},
        {"openclaw-nats-seal": seal},
        {"Openclaw-Nats-Seal": "1.u." + "0" * 32},
    )
    for subject in subjects:
        for number, one in enumerate(forged):
            bus.plain(subject, f"forged {subject} {number}", one, agentid="main", sessionkey="agent:main:main")
    rows = bus.deliveries(len(subjects) * len(forged))
    assert {(row["state"], row["origin"], row["tainted"], row["session"]) for row in rows} == {
        ("dropped", "outside", True, "")
    }
    assert all("no seal" in row["reason"] for row in rows)
    assert bus.sidecar.metric("openclaw_nats_events_forged_total") == len(rows)
    assert not bus.sidecar.events("?subject=agent.events.copies")
    tried = bus.call("POST", "/api/routes/r0/test", {"since": "1h"})[1]
    assert "no seal" in json.dumps(tried)
    real = event("real", GATEWAY, id=f"forged {GATEWAY} 0", source="openclaw://here", agentid="main", data="real")
    assert bus.sidecar.post_events([real])[1]["accepted"] == 1, "the id was named by somebody else before"
    [row] = [row for row in bus.deliveries(len(rows) + 1) if row["state"] == "delivered"]
    assert (row["origin"], row["tainted"]) == ("gateway", True)
    assert [one["data"] for one in bus.sidecar.events("?subject=agent.events.copies")] == ["real"]


def test_the_operator_may_pass_on_what_others_said_and_call_it_so(bus: Origins) -> None:
    bus.copy("all", "agent.events.custom.>")
    for query in ("", "?origin=outside"):
        assert bus.call("POST", f"/api/publish{query}", {"subject": CUSTOM, "payload": query})[0] == 200
    for more in ((), ("--outside",)):
        assert bus.sidecar.command("publish", CUSTOM, '"x"', *more).returncode == 0
    rows = sorted((row["origin"], row["tainted"]) for row in bus.deliveries(4))
    assert rows == [("operator", False)] * 2 + [("outside", True)] * 2
    for query in ("?origin=gateway", "?origin=operator", "?origin="):
        assert bus.call("POST", f"/api/publish{query}", {"subject": CUSTOM, "payload": 1})[0] == 400


def test_what_an_outside_event_says_of_itself_is_no_condition(bus: Origins) -> None:
    bus.copy("all", "agent.events.custom.>", when="origin == 'outside'")
    bus.copy("main", "agent.events.custom.>", when="agentid == 'main' || sessionkey != ''")
    bus.copy("mine", "agent.events.custom.>", when="origin == 'operator'")
    claims = {"agentid": "main", "sessionkey": "agent:main:main", "origin": "operator", "openclaworigin": "operator"}
    bus.plain(CUSTOM, "claims", **claims)
    [row] = bus.deliveries(1)
    assert (row["route"], row["origin"], row["tainted"], row["session"]) == ("all", "outside", True, "")
    [copy] = bus.sidecar.events("?subject=agent.events.copies")
    assert "agentid" not in copy
    assert "sessionkey" not in copy
    assert bus.sidecar.publish(CUSTOM, "mine", sessionKey="agent:main:main")[0] == 200
    assert [row["route"] for row in bus.deliveries(3)[1:]] == ["main", "mine"]


def test_a_sealed_event_that_is_stored_again_is_no_second_one(bus: Origins) -> None:
    bus.copy("r", "agent.events.custom.>")
    sequence = bus.sidecar.publish(CUSTOM, "pay")[1]["sequence"]
    bus.deliveries(1, "&route=r")
    subject, headers, body = bus.stored(sequence)
    kept = {name: value for name, value in headers.items() if name != "Nats-Msg-Id"}
    for more in ({}, {"content-type": "text/plain"}, {"ce-id": "other"}, {"traceparent": "x"}):
        assert publish(bus.nats, subject, body, {**kept, **more})["seq"]
    bus.marker()
    assert len(bus.deliveries(1, "&route=r")) == 1
    assert bus.sidecar.metric("openclaw_nats_inbox_duplicates_total") == 4
    publish(bus.nats, subject, body.replace(b"pay", b"PAY"), kept)
    publish(bus.nats, "agent.events.custom.b", body, kept)
    when, _, rest = kept["Openclaw-Nats-Seal"].partition(".")
    publish(bus.nats, subject, body, {"Openclaw-Nats-Seal": f"{int(when) + 1}.{rest}"})
    rows = bus.deliveries(4, "&route=r")
    assert [row["origin"] for row in rows] == ["operator", "outside", "outside", "outside"]


def test_a_tick_can_neither_be_named_in_advance_nor_brought_early(bus: Origins) -> None:
    job = {"name": "ops", "cron": "0 0 1 1 *", "payload": {"task": "real"}}
    assert bus.call("POST", "/api/cron", job)[0] in (200, 201)
    timer = {"name": "soon", "delay": "4s", "payload": {"task": "timer"}}
    assert bus.call("POST", "/api/timers", timer)[0] in (200, 201)
    bus.copy("cron", "agent.events.cron.>")
    bus.copy("timer", "agent.events.timer.>")
    state = api(bus.nats, "STREAM.INFO.agent_schedules")["state"]
    armed = []
    for number in range(state["first_seq"], state["last_seq"] + 1):
        with contextlib.suppress(KeyError):
            one = api(bus.nats, "STREAM.MSG.GET.agent_schedules", {"seq": number})["message"]
            if ".armed." in one["subject"]:
                lines = base64.b64decode(one["hdrs"]).decode().split("\r\n")
                armed.append(
                    (dict(line.split(": ", 1) for line in lines if ": " in line), base64.b64decode(one["data"]))
                )
    assert len(armed) == 2
    for headers, body in armed:
        document = json.loads(body)
        publish(bus.nats, document["subject"], body, {"Openclaw-Nats-Seal": headers["Openclaw-Nats-Seal"]})
        publish(bus.nats, document["subject"], body, {"Nats-Msg-Id": document["id"]})
    rows = bus.deliveries(5)
    assert [row["state"] for row in rows[:4]] == ["dropped"] * 4
    assert (rows[4]["subject"], rows[4]["state"], rows[4]["origin"], rows[4]["tainted"]) == (
        "agent.events.timer.soon",
        "delivered",
        "operator",
        False,
    )
    assert bus.call("POST", "/api/cron/ops/run")[0] == 200
    assert bus.deliveries(6)[5]["origin"] == "operator"


def test_a_job_that_somebody_puts_into_the_stream_is_nobodys(bus: Origins) -> None:
    job = {"name": "ops", "cron": "* * * * * *", "subject": CUSTOM, "payload": {"task": "real"}, "enabled": False}
    assert bus.call("POST", "/api/cron", job)[0] in (200, 201)
    bus.copy("r", CUSTOM)
    subjects = api(bus.nats, "STREAM.INFO.agent_schedules", {"subjects_filter": ">"})["state"]["subjects"]
    [subject] = [one for one in subjects if ".job." in one or ".jobs." in one]
    message = api(bus.nats, "STREAM.MSG.GET.agent_schedules", {"last_by_subj": subject})["message"]
    forged = json.loads(base64.b64decode(message["data"]))
    forged["document"] |= {"enabled": True, "payload": {"task": "EVIL"}}
    publish(bus.nats, subject, json.dumps(forged).encode())
    row = wait_until(lambda: bus.of("r"), seconds=40, what="a tick of it")[0]
    assert (row["origin"], row["tainted"]) == ("outside", True)


def test_an_agent_is_itself_and_tainted_as_its_run_is(bus: Origins) -> None:
    bus.copy("r", "agent.events.custom.>")
    bus.tool("nats_publish", {"subject": CUSTOM, "payload": "unknown"})
    bus.tool("nats_publish", {"subject": CUSTOM, "payload": "clean"}, tainted=False)
    bus.tool("nats_publish", {"subject": CUSTOM, "payload": "tainted"}, tainted=True)
    bus.tool("nats_timer_set", {"name": "a", "delay": "1s", "subject": CUSTOM}, tainted=False)
    bus.tool("nats_timer_set", {"name": "b", "delay": "1s", "subject": CUSTOM})
    rows = bus.deliveries(5)
    assert {row["origin"] for row in rows} == {"agent:guest"}
    assert [row["tainted"] for row in rows[:3]] == [True, False, True]
    assert sorted(row["tainted"] for row in rows[3:]) == [False, True]
    bus.plain(CUSTOM, "claims to be an agent's", agentid="guest", madeby="agent:guest in agent:guest:main")
    assert bus.tool("nats_events", {"subject": CUSTOM})["count"] == 6
    assert [one["origin"] for one in bus.outside] == ["agent:guest"] * 5 + ["outside"]
    bus.plain("agent.events.message.received", "no words of this conversation", agentid="guest")
    assert bus.tool("nats_events", {"subject": "agent.events.message.received"})["count"] == 0


def test_what_the_bus_tells_about_itself_wakes_routes(bus: Origins) -> None:
    bus.copy("r", "agent.events.bus.>")
    assert bus.call("POST", "/api/pause", {"reason": "test"})[0] in (200, 201)
    row = wait_until(lambda: bus.of("r"), what="a delivery")[0]
    assert (row["state"] == "dropped", row["origin"]) == (False, "gateway")


def test_everything_shows_who_said_it(bus: Origins) -> None:
    assert bus.sidecar.publish(CUSTOM, "a")[0] == 200
    sequence = bus.plain(CUSTOM, "b", openclaworigin="operator", openclawtainted=False, sessionkey="agent:main:main")
    bus.tool("nats_publish", {"subject": CUSTOM, "payload": "c"}, tainted=False)
    moved = bus.sidecar.request("POST", "/api/events?origin=outside", json.dumps([event("d", CUSTOM)]).encode(), JSON)
    assert moved[0] == 200, moved
    assert bus.sidecar.request("POST", "/api/events?origin=operator", b"[]", JSON)[0] == 400
    expected = [("operator", False), ("outside", True), ("agent:guest", False), ("outside", True)]
    assert [one[1:] for one in bus.shown()] == expected
    recent = bus.call("GET", "/api/live/recent")[1]["events"]
    assert [(one["origin"], one["tainted"]) for one in recent] == expected
    one = bus.call("GET", f"/api/events/{sequence}")[1]
    assert (one["openclaworigin"], one["openclawtainted"]) == ("outside", True)


def test_what_is_older_than_seals_is_delivered_as_before(tmp_path: Path, nats: NatsServer) -> None:
    bus = Origins(tmp_path / "state", nats)
    bus.sidecar.start()
    bus.copy("r", "agent.events.>", when="subject != 'agent.events.copies'")
    assert bus.call("POST", "/api/timers", {"name": "old", "delay": "15s", "payload": {"n": 1}})[0] in (200, 201)
    bus.sidecar.close()
    with sqlite3.connect(bus.sidecar.home / "sidecar.db") as db:
        db.execute("DELETE FROM facts WHERE name IN ('unsealed until', 'armed without a seal')")
    db.close()
    message = api(nats, "STREAM.MSG.GET.agent_schedules", {"last_by_subj": "agent.schedules.armed.timer.*"})["message"]
    lines = base64.b64decode(message["hdrs"]).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    del headers["Openclaw-Nats-Seal"]
    publish(nats, message["subject"], base64.b64decode(message["data"]), headers)
    bus.plain(GATEWAY, "before", sessionkey="agent:main:main")
    bus.sidecar.start()
    try:
        [row] = bus.deliveries(1)
        assert (row["state"], row["origin"], row["session"]) == ("delivered", "outside", "agent:main:main")
        bus.plain(GATEWAY, "after")
        rows = bus.deliveries(3)
        assert [(one["state"], one["origin"]) for one in rows[1:]] == [
            ("dropped", "outside"),
            ("delivered", "operator"),
        ]
    finally:
        bus.sidecar.close()


def test_another_key_is_outside_and_a_shared_one_is_believed(tmp_path: Path, nats: NatsServer) -> None:
    config = '[gateway]\nid = "{}"\n'
    here = Origins(tmp_path / "here", nats)
    here.sidecar.start()
    there = Sidecar(tmp_path / "there", nats, config.format("there"))
    shared = Sidecar(tmp_path / "shared", nats, config.format("shared"))
    (shared.home / "identity-key").write_text((here.sidecar.home / "identity-key").read_text())
    (shared.home / "identity-key").chmod(0o600)
    try:
        there.start()
        shared.start()
        here.copy("r", GATEWAY)
        for sidecar in (there, shared):
            assert sidecar.post_events([event(sidecar.home.name, GATEWAY)])[1]["accepted"] == 1
        rows = here.deliveries(2)
        assert [(row["state"], row["origin"]) for row in rows] == [("dropped", "outside"), ("delivered", "gateway")]
    finally:
        for sidecar in (here.sidecar, there, shared):
            sidecar.close()


def test_the_operator_hears_of_forgeries_and_of_another_key(tmp_path: Path, nats: NatsServer) -> None:
    here = Origins(tmp_path / "here", nats)
    there = Sidecar(tmp_path / "there", nats, '[gateway]\nid = "there"\n')
    try:
        there.start()
        here.sidecar.start()
        here.copy("r", GATEWAY)
        here.plain(GATEWAY, "forged")
        assert there.post_events([event("1", GATEWAY)])[1]["accepted"] == 1
        here.deliveries(2)

        def notes() -> str:
            return "\n".join(here.health()["notes"])

        wait_until(lambda: "another key ('there')" in notes(), what="the note about the other's key")
        assert "2 events from outside" in notes()
        assert "1 had a seal of another key" in notes()
    finally:
        here.sidecar.close()
        there.close()
