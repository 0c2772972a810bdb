"""Two Gateways on one NATS, each with an agent `main`: the Gateway is part of who an agent, a job and a timer is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, event, wait_until

MAIN = "agent:main:main"


class Fleet:
    """NATS with the sidecars of the Gateways `kitchen` and `office`."""

    def __init__(self, folder: Any) -> None:
        self.nats = NatsServer(folder / "nats-server")
        self.kitchen, self.office = (
            Sidecar(folder / name, self.nats, f'[gateway]\nid = "{name}"\n') for name in ("kitchen", "office")
        )
        for one in (self.kitchen, self.office):  # sidecars that believe each other share a key
            (one.home / "identity-key").write_text("5e" * 32)
            (one.home / "identity-key").chmod(0o600)

    def start(self) -> None:
        self.nats.start()
        for one in (self.kitchen, self.office):
            one.start()

    def close(self) -> None:
        for one in (self.kitchen, self.office, self.nats):
            one.close()

    def subjects(self) -> list[str]:
        """Where the messages of the schedules stream lie."""
        return [one["subject"] for one in jetstream.read(self.nats, "agent_schedules")]


@pytest.fixture
def fleet(tmp_path: Any) -> Iterator[Fleet]:
    one = Fleet(tmp_path)
    one.start()
    yield one
    one.close()


def tool(one: Sidecar, name: str, parameters: dict[str, Any]) -> tuple[int, Any]:
    caller = {"agentId": "main", "sessionKey": MAIN}
    return one.call("POST", f"/api/tools/{name}", {"caller": caller, "parameters": parameters})


def test_agents_of_one_name_are_two(fleet: Fleet) -> None:
    secret = event(1, "agent.events.message.received", agentid="main", sessionkey=MAIN, data="the code is 4711")
    fleet.kitchen.post_events([{**secret, "gatewayid": "kitchen"}])
    assert "4711" in json.dumps(tool(fleet.kitchen, "nats_events", {"subject": "agent.events.message.>"})[1])
    assert "4711" not in json.dumps(tool(fleet.office, "nats_events", {"subject": "agent.events.message.>"})[1])
    for one, name in ((fleet.kitchen, "kitchen"), (fleet.office, "office")):
        assert tool(one, "nats_timer_set", {"name": "tea", "delay": "1h", "payload": {"of": name}})[0] == 200
    assert tool(fleet.kitchen, "nats_cron_add", {"name": "morning", "cron": "0 8 * * *"})[0] == 200
    for call in ("nats_cron_remove", "nats_cron_run", "nats_cron_toggle"):
        assert tool(fleet.office, call, {"name": "morning"})[0] == 404
    assert tool(fleet.office, "nats_cron_list", {})[1]["result"]["jobs"] == []
    assert tool(fleet.office, "nats_timer_cancel", {"name": "tea"})[0] == 200
    assert [one["payload"] for one in fleet.kitchen.get("/api/timers")[1]["timers"]] == [{"of": "kitchen"}]
    assert fleet.office.get("/api/timers")[1]["timers"] == []


def test_operators_jobs_and_timers_of_one_name_are_two(fleet: Fleet) -> None:
    both = ((fleet.kitchen, "kitchen"), (fleet.office, "office"))
    for one, name in both:
        job = {"name": "daily", "cron": "0 8 * * *", "payload": {"of": name}}
        assert one.call("POST", "/api/cron", job)[0] == 201
        assert one.call("POST", "/api/timers", {"name": "oven", "delay": "2s", "payload": {"of": name}})[0] == 201
    for one, name in both:
        assert [job["payload"] for job in one.get("/api/cron")[1]["jobs"]] == [{"of": name}]
        assert one.call("POST", "/api/cron/daily/run")[0] == 200

    def fired() -> list[dict[str, Any]]:
        return fleet.kitchen.events("?subject=agent.events.timer.oven") + fleet.kitchen.events(
            "?subject=agent.events.cron.daily"
        )

    found = wait_until(lambda: len(fired()) == 4 and fired(), what="both timers and both runs")
    assert [one["gatewayid"] for one in found] == [one["data"]["of"] for one in found]
    for one, name in both:
        runs = one.get("/api/logs/fires")[1]["lines"]
        assert {run["kind"] for run in runs} == {"cron", "timer"}, name
        assert len(runs) == 2
    assert fleet.office.call("DELETE", "/api/cron/daily")[0] == 204
    assert [job["name"] for job in fleet.kitchen.get("/api/cron")[1]["jobs"]] == ["daily"]


def test_a_tick_is_its_owners_whoever_armed_it(fleet: Fleet) -> None:
    assert fleet.kitchen.call("POST", "/api/cron", {"name": "often", "cron": "* * * * * *"})[0] == 201
    fleet.kitchen.kill()
    jetstream.api(fleet.nats, "STREAM.PURGE.agent_schedules", {"filter": "agent.schedules.armed.>"})
    before = len(fleet.office.events("?subject=agent.events.cron.often"))
    armed_by_office = wait_until(
        lambda: fleet.office.events("?subject=agent.events.cron.often")[before + 2 :], 40, "ticks that the other armed"
    )
    assert {one["gatewayid"] for one in armed_by_office} == {"kitchen"}
    assert {one["source"] for one in armed_by_office} == {"openclaw://kitchen/cron"}


def test_what_0_1_0_stored_works_on_and_belongs_to_who_made_it(fleet: Fleet) -> None:
    now = time.time()
    document = {"name": "old", "cron": "0 8 * * *", "payload": {"of": "kitchen"}}
    stored = {"document": document, "timezone": "UTC", "since": now, "created": now, "updated": now}
    of_kitchen = event(
        1, "agent.events.cron.old", gatewayid="kitchen", source="openclaw://kitchen/cron", data={"_cron": {}}
    )
    jetstream.publish(
        fleet.nats, f"agent.schedules.fired.cron.old.{int(now) - 9}.cron.old", json.dumps(of_kitchen).encode()
    )
    jetstream.publish(fleet.nats, "agent.schedules.job.old", json.dumps(stored).encode())
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 3600))
    note = {"of": "kitchen", "_timer": {"name": "tea", "scheduledFor": at, "firedAt": at}}
    timer = event(2, "agent.events.timer.tea", gatewayid="kitchen", source="openclaw://kitchen/timer", data=note)
    armed = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": "agent.schedules.fired.timer.tea.1.timer.tea"}
    jetstream.publish(fleet.nats, "agent.schedules.tick.timer.tea", json.dumps(timer).encode(), armed)

    wait_until(lambda: [s for s in fleet.subjects() if s.startswith("agent.schedules.tick.cron.old.")], 40, "its tick")
    for one, names in ((fleet.kitchen, ["old", "tea"]), (fleet.office, [])):
        jobs, timers = one.get("/api/cron")[1]["jobs"], one.get("/api/timers")[1]["timers"]
        assert [found["name"] for found in jobs + timers] == names
    for name in ("tea", "old"):
        path = f"/api/{'timers' if name == 'tea' else 'cron'}/{name}"
        assert fleet.office.call("DELETE", path)[0] == 404
    body = {"name": "old", "cron": "0 9 * * *"}
    assert fleet.office.call("POST", "/api/cron", body)[0] == 201  # its own of that name
    assert fleet.kitchen.call("POST", "/api/cron", body)[0] == 200  # the one that is there
    assert fleet.kitchen.call("POST", "/api/timers", {"name": "tea", "delay": "2h"})[0] == 200
    assert len([s for s in fleet.subjects() if ".timer.tea" in s or "=tea" in s]) == 1
    for path in ("/api/cron/old", "/api/timers/tea"):
        assert fleet.kitchen.call("DELETE", path)[0] == 204
    assert [job["name"] for job in fleet.office.get("/api/cron")[1]["jobs"]] == ["old"]


def test_ids_that_differ_by_a_dot_are_two_gateways(fleet: Fleet) -> None:
    from openclaw_nats.schedules.names import key_in, may_be_of

    keys = [key_in(gateway, "a") for gateway in ("a.b", "a-b", "a b", "a_b", "ü")]
    assert len(set(keys)) == len(keys)
    assert [may_be_of("a.b", key) for key in keys] == [True, False, False, False, False]


def test_tokens_of_two_gateways_are_not_summed(fleet: Fleet) -> None:
    data = {"model": "m", "provider": "p", "usage": {"input": 10, "output": 1}}
    calls = [
        event(name, "agent.events.llm.output", gatewayid=name, agentid="main", data=data)
        for name in ("kitchen", "office")
    ]
    fleet.kitchen.post_events(calls)
    rows = fleet.kitchen.get("/api/usage?since=1h")[1]["rows"]
    assert sorted((row["gateway"], row["agent"], row["input"]) for row in rows) == [
        ("kitchen", "main", 10),
        ("office", "main", 10),
    ]


def test_ticks_that_the_server_passes_on_again_wake_nobody_twice(fleet: Fleet) -> None:
    copy = {"kind": "subject", "subject": "agent.events.copies"}
    one = fleet.kitchen
    one.call("POST", "/api/routes", {"name": "copies", "pattern": "agent.events.timer.>", "target": copy})
    assert one.call("POST", "/api/timers", {"name": "once", "delay": "1s"})[0] == 201
    wait_until(lambda: one.events("?subject=agent.events.copies"), what="the copy")
    jetstream.api(fleet.nats, "STREAM.DELETE.agent_events")  # what fired lies in the schedules stream, and comes again
    wait_until(lambda: "error" not in jetstream.api(fleet.nats, "STREAM.INFO.agent_events"), 60, "the stream again")
    wait_until(lambda: one.events("?subject=agent.events.timer.once"), 60, "the timer's event again")
    one.publish("agent.events.timer.marker")
    wait_until(lambda: one.events("?subject=agent.events.copies"), what="the marker's copy")
    assert [copied["data"] for copied in one.events("?subject=agent.events.copies")] == [None]
    assert one.get("/api/health")[1]["delivery"]["counts"]["delivered"] == 2


def test_doctor_names_jobs_of_the_id_that_was_here_before(fleet: Fleet) -> None:
    office = fleet.office
    assert office.call("POST", "/api/cron", {"name": "dawn", "cron": "@daily"})[0] == 201
    assert office.call("POST", "/api/timers", {"name": "tea", "delay": "2h"})[0] == 201
    assert fleet.kitchen.call("POST", "/api/cron", {"name": "not of this installation", "cron": "@daily"})[0] == 201

    def said() -> list[str]:
        command = [sys.executable, "-m", "openclaw_nats", "doctor", "--json"]
        done = subprocess.run(command, env=office.environment, capture_output=True, text=True, timeout=120, check=False)
        return [one["text"] for one in json.loads(done.stdout)["findings"] if "was here before" in one["text"]]

    assert not said()
    office.kill()
    config = office.home / "config.toml"
    config.write_text(config.read_text().replace('id = "office"', 'id = "study"'))
    office.start()
    assert office.call("GET", "/api/cron")[1]["jobs"] == []
    assert said() == ["cron jobs: 1, timers: 1 of 'office', the gateway.id that was here before"]


def cli(one: Sidecar, *arguments: str) -> subprocess.CompletedProcess[str]:
    return one.command(*arguments, timeout=120)


def test_jobs_and_timers_of_a_gateway_that_is_gone_are_listed_and_taken(fleet: Fleet) -> None:
    kitchen, office = fleet.kitchen, fleet.office
    often, rest = (
        {"name": "each second", "cron": "* * * * * *", "payload": {"a": 1}},
        {"name": "dawn", "cron": "@daily"},
    )
    for job in (often, rest, {"name": "off", "cron": "@daily", "enabled": False}):
        assert office.call("POST", "/api/cron", job)[0] == 201
    assert office.call("POST", "/api/timers", {"name": "tea", "delay": "2h", "payload": {"cup": 2}})[0] == 201
    assert kitchen.call("POST", "/api/cron", {**rest, "payload": "the kitchen's own"})[0] == 201

    refused = cli(kitchen, "cron", "take", "each second", "--from", "office", "--json")
    assert refused.returncode == 2
    assert "'office' runs at" in json.loads(refused.stdout)["error"]
    wait_until(lambda: office.get("/api/cron/each%20second/history")[1]["runs"], 20, "a run")
    office.kill()  # not ended by itself: its lease runs out
    time.sleep(13)
    listed = cli(kitchen, "cron", "list", "--all")
    assert [one.split()[0] for one in listed.stdout.splitlines() if "office" in one] == ["office"] * 3
    found = json.loads(cli(kitchen, "cron", "list", "--all", "--json").stdout)
    assert [one["name"] for one in found["jobs"]] == ["dawn"]
    assert [(one["gateway"], one["name"]) for one in found["others"]] == [
        ("office", "dawn"),
        ("office", "each second"),
        ("office", "off"),
    ]
    for words, said in (
        (("cron", "take", "dawn", "--from", "office"), "another cron job 'dawn' here already"),
        (("cron", "take", "nosuch", "--from", "office"), "'office' has no cron job 'nosuch'"),
        (("timers", "take", "nosuch", "--from", "office"), "'office' has no timer 'nosuch'"),
        (("cron", "take", "off", "--from", "garden"), "no sidecar is known to have run as 'garden'"),
        (("cron", "take", "dawn", "--from", "kitchen"), "'kitchen' is this Gateway"),
    ):
        done = cli(kitchen, *words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    began = time.time()
    for words in (("cron", "take", "each second"), ("cron", "take", "off"), ("timers", "take", "tea")):
        done = cli(kitchen, *words, "--from", "office")
        assert done.returncode == 0, done.stderr
    taken = kitchen.get("/api/audit?search=.take")[1]["records"]
    assert {one["who"] for one in taken} == {"the command line"}
    ended = [(one["act"], one["about"]) for one in taken if one.get("stage") == "ended"]
    assert sorted(ended) == [("cron.take", "each second"), ("cron.take", "off"), ("timers.take", "tea")]
    jobs = {one["name"]: one for one in kitchen.get("/api/cron")[1]["jobs"]}
    assert (jobs["off"]["enabled"], jobs["each second"]["enabled"]) == (False, True)
    assert [one["payload"] for one in kitchen.get("/api/timers")[1]["timers"]] == [{"cup": 2}]
    count = len(kitchen.get("/api/cron/each%20second/history")[1]["runs"])
    wait_until(lambda: len(kitchen.get("/api/cron/each%20second/history")[1]["runs"]) > count + 2, 20, "it to go on")
    ticks = [
        one["data"]["_cron"]["scheduledFor"]
        for one in kitchen.events("?subject=agent.events.cron.each_second&limit=1000")
    ]
    assert len(ticks) == len(set(ticks))  # none twice
    at = [one for one in sorted(datetime.fromisoformat(tick).timestamp() for tick in ticks) if one > began - 3]
    assert [after - before for before, after in pairwise(at)] == [1.0] * (len(at) - 1), at  # and none missing
    assert [one for one in fleet.subjects() if "office=" in one and ".armed." in one and "=dawn." not in one] == []


@pytest.mark.parametrize("step", ["copied", "removed"])
def test_a_takeover_that_was_cut_off_goes_on_where_it_ended(fleet: Fleet, step: str) -> None:
    kitchen, office = fleet.kitchen, fleet.office
    wait_until(lambda: office.get("/api/health")[1]["identity"]["state"] == "held", 20, "the lease")
    assert office.call("POST", "/api/cron", {"name": "dawn", "cron": "* * * * * *"})[0] == 201
    [record] = [one for one in jetstream.read(fleet.nats, "agent_schedules") if one["subject"].endswith("office.dawn")]
    office.signal(signal.SIGTERM)  # it says that it has ended
    copy = json.loads(record["data"])
    copy |= {"gateway": "kitchen", "since": time.time()}
    copy["taken"] = {"gateway": "office", "key": "office=dawn", "enabled": True}
    copy["document"]["enabled"] = False
    jetstream.publish(fleet.nats, "agent.schedules.job.kitchen.dawn", json.dumps(copy).encode())
    if step == "removed":
        jetstream.api(fleet.nats, "STREAM.PURGE.agent_schedules", {"filter": "agent.schedules.job.office.dawn"})
    assert [one["enabled"] for one in kitchen.get("/api/cron")[1]["jobs"]] == [False]
    done = cli(kitchen, "cron", "take", "dawn", "--from", "office")
    assert done.returncode == 0, done.stderr
    assert [one["enabled"] for one in kitchen.get("/api/cron")[1]["jobs"]] == [True]
    assert kitchen.get("/api/schedules/others")[1]["jobs"] == []
    wait_until(lambda: kitchen.get("/api/cron/dawn/history")[1]["runs"], 20, "a run")
    ticks = [
        one["data"]["_cron"]["scheduledFor"] for one in kitchen.events("?subject=agent.events.cron.dawn&limit=1000")
    ]
    assert len(ticks) == len(set(ticks))
    assert not [one for one in fleet.subjects() if "office=" in one and ".armed." in one]
