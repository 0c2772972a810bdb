"""Expectations on a running sidecar with a real nats-server: each absence is said once, and none that is not true."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, event, wait_until

A, B = "agent.events.custom.a", "agent.events.custom.b"


def expect(sidecar: Sidecar, name: str, **fields: Any) -> None:
    status, answer = sidecar.call("POST", "/api/expectations", {"name": name, **fields})
    assert status == 201, answer


def said(sidecar: Sidecar, name: str) -> list[tuple[str, str]]:
    """The notices of a rule, in order: (missed or recovered, key)."""
    events = sidecar.events("?subject=agent.events.expectation.%3E")
    found = [one for one in events if one["data"].get("expectation") == name]
    return [(one["subject"].split(".")[3], one["data"].get("key", "")) for one in found]


def state(sidecar: Sidecar, name: str) -> dict[str, Any]:
    status, answer = sidecar.call("GET", f"/api/expectations/{name}")
    assert status == 200, answer
    return dict(answer)


def test_what_does_not_come_is_said_once_and_that_it_came_after_all(sidecar: Sidecar) -> None:
    expect(sidecar, "pairs", after=A, by=B, key="data.n", within="2s")
    for number in range(3):
        sidecar.publish(A, {"n": number})
    sidecar.publish(B, {"n": 1})
    wait_until(lambda: len(said(sidecar, "pairs")) == 2, 20, "the notices")
    assert sorted(said(sidecar, "pairs")) == [("missed", "0"), ("missed", "2")]
    assert state(sidecar, "pairs")["state"] == "missed"
    sidecar.publish(B, {"n": 2})
    wait_until(lambda: len(said(sidecar, "pairs")) == 3, 20, "the recovery")
    assert said(sidecar, "pairs")[2] == ("recovered", "2")
    sidecar.publish(A, {"n": 0})
    time.sleep(4)
    assert len(said(sidecar, "pairs")) == 3, "one notice an episode"


def test_what_has_to_come_again_and_again(sidecar: Sidecar) -> None:
    expect(sidecar, "often", every="2s", by=B)
    wait_until(lambda: said(sidecar, "often") == [("missed", "")], 20, "the first notice")
    sidecar.publish(B, {})
    wait_until(lambda: said(sidecar, "often")[1:] == [("recovered", ""), ("missed", "")], 20, "the next two")


def test_what_must_not_come(sidecar: Sidecar) -> None:
    expect(sidecar, "never", before=A, by=B, within="3s", key="data.n")
    sidecar.publish(A, {"n": 1})
    sidecar.publish(A, {"n": 2})
    sidecar.publish(B, {"n": 1})
    wait_until(lambda: said(sidecar, "never") == [("missed", "1")], 20, "the notice")
    wait_until(lambda: not state(sidecar, "never")["episodes"], 20, "the end of the other")
    sidecar.publish(B, {"n": 2})
    time.sleep(2)
    assert said(sidecar, "never") == [("missed", "1")]


def test_an_absence_while_the_sidecar_is_killed_is_said_when_it_is_back(sidecar: Sidecar) -> None:
    expect(sidecar, "pairs", after=A, by=B, within="3s", key="data.n")
    sidecar.publish(A, {"n": 1})
    wait_until(lambda: state(sidecar, "pairs")["open"] == 1, 20, "the episode")
    sidecar.kill()
    time.sleep(5)
    sidecar.start()
    wait_until(lambda: said(sidecar, "pairs") == [("missed", "1")], 20, "the notice")
    due = sidecar.events("?subject=agent.events.expectation.due.%3E")
    assert len(due) == 1, "nats-server fired it while there was no sidecar"
    sidecar.kill()
    sidecar.start()
    time.sleep(3)
    assert said(sidecar, "pairs") == [("missed", "1")]


def test_b_before_a_counts_within_the_lookback(sidecar: Sidecar) -> None:
    expect(sidecar, "pairs", after=A, by=B, within="2s", key="data.n", lookback="30s")
    sidecar.publish(B, {"n": 1})
    sidecar.publish(A, {"n": 1})
    sidecar.publish(A, {"n": 2})
    wait_until(lambda: said(sidecar, "pairs") == [("missed", "2")], 20, "the notice")


def test_an_event_on_which_the_key_fails_is_put_aside_with_its_reason(sidecar: Sidecar) -> None:
    expect(sidecar, "pairs", after=A, by=B, within="2s", key="data.n")
    sidecar.publish(A, {"other": 1})
    sidecar.publish(A, {"n": 1})
    wait_until(lambda: said(sidecar, "pairs") == [("missed", "1")], 20, "the notice")
    found = state(sidecar, "pairs")
    assert found["faults"] == 1
    assert "data.n" in found["fault"]


def test_what_a_gateway_may_still_have_in_its_spool_is_not_known_yet(sidecar: Sidecar) -> None:
    ended = "agent.events.agent.run_ended"
    expect(sidecar, "runs", after=A, by=ended, within="1s")
    sidecar.publish(A, {})
    wait_until(lambda: state(sidecar, "runs")["state"] == "unknown", 20, "what is not known yet")
    assert len(state(sidecar, "runs")["behind"]) == 1
    time.sleep(3)
    assert said(sidecar, "runs") == []


def test_what_somebody_else_publishes_on_a_subject_of_the_gateway_closes_nothing(
    nats: NatsServer, sidecar: Sidecar
) -> None:
    ended = "agent.events.agent.run_ended"
    expect(sidecar, "runs", after=A, by=ended, within="1s", spools=False)
    sidecar.publish(A, {})
    jetstream.publish(nats, ended, b"{}")
    wait_until(lambda: said(sidecar, "runs") == [("missed", "")], 20, "the notice")


def test_what_can_not_be_a_rule_is_refused_with_its_field(sidecar: Sidecar) -> None:
    for body, field in (
        ({"name": "x", "by": B}, "after"),
        ({"name": "x", "by": B, "after": A}, "within"),
        ({"name": "x", "by": B, "every": "1d", "key": "data.n"}, "key"),
        ({"name": "x", "by": "agent.events.expectation.missed.y", "every": "1d"}, "by"),
        ({"name": "x", "by": B, "after": A, "within": "5"}, "within"),
        ({"name": "X y", "by": B, "every": "1d"}, "name"),
    ):
        status, answer = sidecar.call("POST", "/api/expectations", body)
        assert status in (400, 422), (body, answer)
        assert answer["field"] == field, (body, answer)
    expect(sidecar, "twice", by=B, every="1d")
    assert sidecar.call("POST", "/api/expectations", {"name": "twice", "by": B, "every": "1d"})[0] == 409


def test_a_file_of_expectations_is_applied_and_says_what_differs(sidecar: Sidecar, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[expectation]]\nname = "x"\nby = "custom.b"\nevery = "1d"\n')
    done = sidecar.command("expect", "apply", "-f", str(file), "--json")
    assert json.loads(done.stdout)["changes"] == [{"change": "add", "expectation": "x", "detail": "by, every"}]
    file.write_text('[[expectation]]\nname = "x"\nby = "custom.b"\nevery = "2d"\n')
    done = sidecar.command("expect", "apply", "-f", str(file), "--json")
    assert json.loads(done.stdout)["changes"] == [{"change": "change", "expectation": "x", "detail": "every"}]
    assert state(sidecar, "x")["rule"] == {"name": "x", "by": B, "every": "2d"}
    done = sidecar.command("expect", "apply", "-f", str(file))
    assert "Nothing to change." in done.stdout


def test_an_absence_is_seen_in_the_middle_of_much_that_is_like_it(sidecar: Sidecar) -> None:
    expect(sidecar, "pairs", after=A, by=B, within="2s", key="data.n")
    sidecar.publish(A, {"n": -1})
    until, number = time.monotonic() + 60, 0
    while not said(sidecar, "pairs"):
        assert time.monotonic() < until, state(sidecar, "pairs")
        sidecar.post_events([event(f"{number}-{one}", B, data={"n": one}) for one in range(100)])
        number += 1
    assert said(sidecar, "pairs") == [("missed", "-1")]
