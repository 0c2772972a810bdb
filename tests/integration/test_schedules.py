"""Cron jobs and timers over API and command line, on a real nats-server."""

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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import jetstream
from tests.support.inbound import running_bus
from tests.support.processes import NatsServer, Sidecar, wait_until

EVERY_SECOND = "* * * * * *"


def path(kind: str, name: str, action: str = "") -> str:
    return f"/api/{kind}/{quote(name, safe='')}" + (f"/{action}" if action else "")


def fired(bus: Sidecar, subject: str) -> list[dict[str, Any]]:
    """The events on a subject."""
    return [event for event in bus.events(f"?subject={subject}") if event["subject"] == subject]


def cli(bus: Sidecar, *arguments: str, code: int = 0) -> str:
    done = bus.command(*arguments, TZ="UTC")
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "bus" in request.fixturenames:
        bus = request.getfixturevalue("bus")
        for job in bus.call("GET", "/api/cron")[1]["jobs"]:
            bus.call("DELETE", path("cron", job["name"]))
        for timer in bus.call("GET", "/api/timers")[1]["timers"]:
            bus.call("DELETE", path("timers", timer["name"]))


@pytest.mark.parametrize("name", ["plain", "with.dots", "with space", "a/b/run", "Zeiten für Öl ☕", "*", ">", "a%2Fb"])
def test_a_job_of_any_printable_name_fires(bus: Sidecar, name: str) -> None:
    status, job = bus.call("POST", "/api/cron", {"name": name, "cron": EVERY_SECOND, "payload": {"a": 1}})
    assert (status, job["name"], len(job["nextRuns"])) == (201, name, 3)
    events = wait_until(
        lambda: [one for one in fired(bus, job["subject"]) if one["data"]["_cron"]["jobName"] == name], 10, "a run"
    )
    note = events[0]["data"]["_cron"]
    assert events[0]["data"]["a"] == 1
    planned, came = (datetime.fromisoformat(note[key]) for key in ("scheduledFor", "firedAt"))
    assert timedelta(0) <= came - planned < timedelta(seconds=1)
    assert "manual" not in note
    assert bus.call("GET", path("cron", name))[1]["name"] == name
    runs = bus.call("GET", path("cron", name, "history"))[1]["runs"]
    assert {run["outcome"] for run in runs} == {"fired"}
    assert bus.call("DELETE", path("cron", name))[0] == 204
    assert bus.call("GET", path("cron", name))[0] == 404
    count = len(fired(bus, job["subject"]))
    time.sleep(2.2)
    assert len(fired(bus, job["subject"])) == count  # removed: what was armed does not fire


def test_two_names_that_are_escaped_alike_are_two_jobs(bus: Sidecar) -> None:
    for name in ("a b", "a.b"):
        assert bus.call("POST", "/api/cron", {"name": name, "cron": "@daily", "payload": name})[0] == 201
    jobs = bus.call("GET", "/api/cron")[1]["jobs"]
    assert [(job["name"], job["payload"]) for job in jobs] == [("a b", "a b"), ("a.b", "a.b")]


def test_a_job_with_the_name_of_a_gateway_event_publishes_elsewhere(bus: Sidecar) -> None:
    status, job = bus.call("POST", "/api/cron", {"name": "started", "cron": "@daily"})
    assert (status, job["subject"]) == (201, "agent.events.cron.job.started")


def test_change_pause_resume_and_run(bus: Sidecar) -> None:
    bus.call("POST", "/api/cron", {"name": "job", "cron": "0 8 * * *", "timezone": "Europe/Berlin", "payload": 5})
    status, job = bus.call("PATCH", "/api/cron/job", {"cron": EVERY_SECOND, "priority": 8, "timezone": None})
    assert (status, job["timezone"], job["priority"]) == (200, "UTC", 8)
    event = wait_until(lambda: fired(bus, job["subject"]), 10, "a run")[0]
    assert event["data"]["value"] == 5
    assert event["priority"] == 8
    assert bus.call("POST", "/api/cron/job/pause")[1]["enabled"] is False
    count = len(fired(bus, job["subject"]))
    time.sleep(2.2)
    assert len(fired(bus, job["subject"])) == count
    manual = bus.call("POST", "/api/cron/job/run")[1]
    event = wait_until(lambda: [one for one in fired(bus, job["subject"]) if one["id"] == manual["id"]], 5, "it")[0]
    assert event["data"]["_cron"]["manual"] is True
    resumed = bus.call("POST", "/api/cron/job/resume")[1]
    assert datetime.fromisoformat(resumed["nextRuns"][0]) > datetime.now(UTC) - timedelta(seconds=1)
    wait_until(lambda: len(fired(bus, job["subject"])) > count + 1, 10, "a run after the pause")
    missed = [run for run in bus.call("GET", "/api/cron/job/history")[1]["runs"] if run["outcome"] == "skipped"]
    assert not missed  # a pause is not an outage


def test_saving_again_keeps_one_job_and_a_change_of_the_payload_loses_no_run(bus: Sidecar) -> None:
    subject = "agent.events.custom.saved"
    seconds = 4
    begin = time.time()
    number = 0
    while time.time() < begin + seconds:
        body = {"name": "again", "cron": EVERY_SECOND, "subject": subject, "payload": {"n": number}}
        assert bus.call("POST", "/api/cron", body)[0] in (200, 201)
        number += 1
        time.sleep(0.15)
    time.sleep(1.5)
    ticks = [event["data"]["_cron"]["scheduledFor"] for event in fired(bus, subject)]
    assert len(ticks) == len(set(ticks))
    whole = [datetime.fromtimestamp(int(begin) + second, UTC).strftime("%H:%M:%S") for second in range(2, seconds)]
    assert set(whole) <= {tick[11:19] for tick in ticks}
    assert [job["name"] for job in bus.call("GET", "/api/cron")[1]["jobs"]] == ["again"]


@pytest.mark.parametrize(
    ("body", "detail", "hint"),
    [
        ({"name": "x"}, "cron is missing", "Fields:"),
        ({"name": "x", "cron": "61 * * * *"}, "minute '61' is out of range", ""),
        ({"name": "x", "cron": "@daily", "timezone": "Europe/Berln"}, "IANA", "Europe/Berlin"),
        ({"name": "x", "cron": "0 0 31 2 *"}, "never comes", ""),
        ({"name": " x", "cron": "@daily"}, "begins or ends with a space", "'x'"),
        ({"name": "x\u0007y", "cron": "@daily"}, "control character", "'xy'"),
        ({"name": "", "cron": "@daily"}, "not empty", ""),
        ({"name": "x" * 129, "cron": "@daily"}, "the limit is 128", ""),
        ({"name": "x", "cron": "@daily", "missed": "within:soon"}, "missed 'within:soon'", "within:2h"),
        ({"name": "x", "cron": "@daily", "subject": "other.x"}, "is not under agent.events.", ""),
        ({"name": "x", "cron": "@daily", "subject": "agent.events.a.*"}, "wildcard", ""),
        ({"name": "x", "cron": "@daily", "priority": 11}, "priority must be", ""),
        ({"name": "x", "cron": "@daily", "color": "red"}, "color is not known", "timezone"),
        (["x"], "must be a JSON object", ""),
    ],
)
def test_a_wrong_job_is_refused_with_the_reason(bus: Sidecar, body: Any, detail: str, hint: str) -> None:
    status, problem = bus.call("POST", "/api/cron", body)
    assert status == 422, problem
    assert detail in problem["detail"]
    assert hint in problem.get("hint", "")
    assert bus.call("GET", "/api/cron")[1]["jobs"] == []


def test_timers_fire_once_and_are_gone(bus: Sidecar) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    for name, when in (("one", {"delay": "3s"}), ("two", {"delayMs": 3100}), ("three", {"at": soon})):
        status, timer = bus.call("POST", "/api/timers", {"name": name, "payload": {"n": name}, **when})
        assert (status, timer["subject"]) == (201, f"agent.events.timer.{name}")
    listed = [timer["name"] for timer in bus.call("GET", "/api/timers")[1]["timers"]]
    assert sorted(listed) == ["one", "three", "two"]
    for name in listed:
        event = wait_until(lambda name=name: fired(bus, f"agent.events.timer.{name}"), 10, f"timer {name}")[0]
        note = event["data"]["_timer"]
        assert (note["name"], event["data"]["n"]) == (name, name)
        late = datetime.fromisoformat(note["firedAt"]) - datetime.fromisoformat(note["scheduledFor"])
        assert timedelta(milliseconds=-1) <= late < timedelta(seconds=1)
    assert bus.call("GET", "/api/timers")[1]["timers"] == []
    time.sleep(0.5)
    assert [len(fired(bus, f"agent.events.timer.{name}")) for name in listed] == [1, 1, 1]


def test_timers_are_replaced_cancelled_and_go_up_to_years(bus: Sidecar) -> None:
    assert bus.call("POST", "/api/timers", {"name": "t", "delay": "1s"})[0] == 201
    assert bus.call("POST", "/api/timers", {"name": "t", "at": "2066-02-01T00:00:00+01:00"})[0] == 200
    assert bus.call("GET", "/api/timers/t")[1]["at"] == "2066-01-31T23:00:00.000Z"
    time.sleep(1.5)
    assert fired(bus, "agent.events.timer.t") == []
    assert bus.call("DELETE", "/api/timers/t")[0] == 204
    assert bus.call("DELETE", "/api/timers/t")[0] == 404
    assert bus.call("POST", "/api/timers", {"name": "t", "delayMs": 10**400})[0] == 422
    assert bus.call("POST", "/api/timers", {"name": "t", "delayMs": 40 * 86400 * 1000})[0] == 201  # 40 days are 40 days
    days = datetime.fromisoformat(bus.call("GET", "/api/timers/t")[1]["at"]) - datetime.now(UTC)
    assert timedelta(days=39, hours=23) < days <= timedelta(days=40)


@pytest.mark.parametrize(
    ("body", "detail", "hint"),
    [
        ({"name": "x"}, "needs one of delay, delayMs and at", ""),
        ({"name": "x", "delay": "1s", "delayMs": 5}, "needs one of", ""),
        ({"name": "x", "delay": "5"}, "duration such as", '"5m"'),
        ({"name": "x", "delayMs": -1}, "0 or more", ""),
        ({"name": "x", "delayMs": "12"}, "number of milliseconds", ""),
        ({"name": "x", "at": "2001-01-01T00:00:00Z"}, "ago", "delay"),
        ({"name": "x", "at": "tomorrow"}, "RFC 3339", "2027"),
        ({"name": "x", "at": "2027-01-01T00:00:00"}, "with a zone", ""),
        ({"name": "x", "delay": "900000d"}, "more than 100 years", ""),
    ],
)
def test_a_wrong_timer_is_refused_with_the_reason(bus: Sidecar, body: Any, detail: str, hint: str) -> None:
    status, problem = bus.call("POST", "/api/timers", body)
    assert status == 422, problem
    assert detail in problem["detail"]
    assert hint in problem.get("hint", "")


@given(st.text(max_size=140), st.text(max_size=30))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_taken_and_found_again_or_refused(bus: Sidecar, name: str, payload: str) -> None:
    status, answer = bus.call("POST", "/api/cron", {"name": name, "cron": "@yearly", "payload": payload})
    assert status in (200, 201, 400, 422), answer
    if status in (200, 201) and name not in (".", ".."):
        assert bus.call("GET", path("cron", name))[1]["payload"] == payload
        assert bus.call("DELETE", path("cron", name))[0] == 204


def test_a_run_wakes_an_agent_and_the_history_tells_what_became_of_it(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        bus.route("morning", "agent.events.cron.morning", "main")
        bus.call("POST", "/api/cron", {"name": "morning", "cron": "@daily", "payload": {"task": "summary"}})
        bus.call("POST", "/api/cron/morning/run")
        bus.settled(1)
        run = bus.call("GET", "/api/cron/morning/history")[1]["runs"][0]
        assert [(one["route"], one["state"]) for one in run["deliveries"]] == [("morning", "delivered")]
        assert '"jobName":"morning"' in bus.messages()[0]
        assert bus.sidecar.get("/api/health")[1]["schedules"] == {
            "available": True,
            "lastError": "",
            "jobs": 1,
            "timers": 0,
            "lag": 0,
        }


def test_commands(bus: Sidecar) -> None:
    text = cli(bus, "cron", "add", "morning", "0 8 * * MON-FRI", "--timezone", "Europe/Berlin", "--payload", '{"a": 1}')
    assert "agent.events.cron.morning" in text
    assert "T08:00:00+0" in text
    listed = cli(bus, "cron", "list")
    assert listed.count("T08:00:00+0") == 3  # the next three runs, in the job's zone
    assert json.loads(cli(bus, "cron", "--json"))["jobs"][0]["missed"] == "run_once"
    assert "paused" in cli(bus, "cron", "pause", "morning")
    assert "none: the job is paused" in cli(bus, "cron", "show", "morning")
    assert "resumed" in cli(bus, "cron", "resume", "morning")
    assert "fired job morning" in cli(bus, "cron", "run", "morning")
    assert "manual" in cli(bus, "cron", "show", "morning")
    assert "changed job" in cli(bus, "cron", "edit", "morning", "--cron", "@daily", "--missed", "within:2h")
    error = cli(bus, "cron", "add", "x", "0 9 * * MONDAY", code=2)
    assert error.splitlines()[1] == "Try: Did you mean MON?"
    assert "No cron jobs" not in cli(bus, "cron")
    assert "removed job" in cli(bus, "cron", "remove", "morning")
    assert "No cron jobs" in cli(bus, "cron")
    assert "timer tea publishes agent.events.timer.tea" in cli(bus, "timers", "set", "tea", "5m")
    assert "tea" in cli(bus, "timers")
    assert json.loads(cli(bus, "timers", "list", "--json"))["timers"][0]["name"] == "tea"
    assert "2 years" not in cli(bus, "timers", "set", "later", "2031-01-31T08:00:00+01:00")
    assert "cancelled" in cli(bus, "timers", "cancel", "tea")
    assert "there is no timer 'tea'" in cli(bus, "timers", "cancel", "tea", code=2)


def test_the_schedules_stream_is_what_it_must_be_and_the_events_stream_takes_from_it(
    nats: NatsServer, sidecar: Sidecar
) -> None:
    config = jetstream.api(nats, "STREAM.INFO.agent_schedules")["config"]
    assert config["max_age"] == 0
    assert config["max_msgs_per_subject"] == 1
    assert config["allow_msg_schedules"] is True
    sources = jetstream.api(nats, "STREAM.INFO.agent_events")["config"]["sources"]
    assert [source["name"] for source in sources] == ["agent_schedules"]


@pytest.mark.parametrize(("version", "what"), [("2.11.11", "2.12 or newer"), ("2.12.8", "2.14 does")])
def test_an_old_server_is_told_and_everything_else_works(tmp_path: Path, version: str, what: str) -> None:
    nats = NatsServer(tmp_path / "nats-server", version=version)
    nats.start()
    sidecar = Sidecar(tmp_path / "state", nats)
    try:
        sidecar.start()
        for method, where, body in (
            ("GET", "/api/cron", None),
            ("POST", "/api/cron", {"name": "x", "cron": "@daily"}),
            ("POST", "/api/timers", {"name": "x", "delay": "5m"}),
            ("DELETE", "/api/timers/x", None),
        ):
            status, problem = sidecar.call(method, where, body)
            assert status == 501
            assert what in problem["detail"]
            assert "Upgrade nats-server" in problem["hint"]
        health = sidecar.get("/api/health")[1]["schedules"]
        assert health["available"] is False
        assert what in health["lastError"]
        assert sidecar.publish("agent.events.custom.x", {})[0] == 200
        assert what in cli(sidecar, "cron", code=1)
    finally:
        sidecar.close()
        nats.close()


def test_the_oldest_server_with_schedules_fires_them(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats-server", version="2.12.0")
    nats.start()
    sidecar = Sidecar(tmp_path / "state", nats)
    try:
        sidecar.start()
        sidecar.call("POST", "/api/cron", {"name": "x", "cron": EVERY_SECOND})
        sidecar.call("POST", "/api/timers", {"name": "x", "delay": "1s"})
        wait_until(lambda: len(fired(sidecar, "agent.events.cron.x")) >= 3, 15, "three runs")
        wait_until(lambda: fired(sidecar, "agent.events.timer.x"), 15, "the timer")
    finally:
        sidecar.close()
        nats.close()


def test_jobs_that_go_with_their_stream_are_named(nats: NatsServer, sidecar: Sidecar) -> None:
    """`nats stream rm agent_schedules`, while the sidecar runs: it makes the stream again, without what was in it."""
    for name in ("morning", "kept"):
        assert sidecar.call("POST", "/api/cron", {"name": name, "cron": "0 8 * * *", "payload": {"n": 1}})[0] == 201
    wait_until(lambda: "kept" in fact(sidecar, "cron jobs"), 40, "both jobs are known")
    jetstream.api(nats, "STREAM.DELETE.agent_schedules")
    events = wait_until(lambda: sidecar.events("?subject=agent.events.bus.jobs_lost"), 60, "the event")
    assert [one["data"] for one in events] == [{"jobs": ["kept", "morning"], "count": 2}]
    assert sidecar.call("POST", "/api/cron", {"name": "kept", "cron": "0 8 * * *"})[0] == 201
    wait_until(lambda: sidecar.get("/api/health")[1]["schedules"]["lost"]["names"] == ["morning"], 40, "one is back")
    status = " ".join(sidecar.command("status").stdout.split())
    assert "1 cron job left NATS, and nobody removed it here: morning" in status
    assert "morning" in cli(sidecar, "audit", "--search", "morning")


def fact(bus: Sidecar, name: str) -> str:
    """What the sidecar's database keeps under a name."""
    with contextlib.closing(sqlite3.connect(bus.home / "sidecar.db")) as db:
        row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""
