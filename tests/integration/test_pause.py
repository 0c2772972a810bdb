"""The brake: turns are held, events wait, and everything says so, whatever is restarted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

ONE_EACH = {"batch": {"size": 1}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("pause")) as one:
        yield one


@pytest.fixture
def bus(shared: Bus) -> Iterator[Bus]:
    yield shared
    for one in shared.call("GET", "/api/pause")[1]["pauses"]:
        assert shared.call("POST", "/api/resume", {"route": one["route"]} if "route" in one else {})[0] == 200
    for one in shared.call("GET", "/api/routes")[1]["routes"]:
        shared.call("DELETE", f"/api/routes/{quote(one['name'])}")


def pause(bus: Bus, **given: Any) -> dict[str, Any]:
    status, answer = bus.call("POST", "/api/pause", given)
    assert status == 200, answer
    return dict(answer)


def waiting(bus: Bus, route: str) -> list[dict[str, Any]]:
    return [one for one in bus.pending() if one["route"] == route]


def delivered(bus: Bus, route: str) -> int:
    return sum(one["route"] == route for one in bus.receipts())


def told(bus: Bus) -> list[str]:
    found = [str(one["subject"]) for one in bus.sidecar.events() if one["subject"].startswith("agent.events.bus.")]
    return [one.rpartition(".")[2] for one in found]


def test_turns_are_held_everything_says_so_and_a_kill_changes_nothing(bus: Bus) -> None:
    bus.route("alarm", "agent.events.custom.alarm.>", "main", flow=ONE_EACH)
    bus.route("copy", "agent.events.custom.alarm.>", {"kind": "subject", "subject": "agent.events.custom.copied"})
    answer = pause(bus, reason="tests of the siren", **{"for": "2h"})
    assert answer["pauses"][0]["madeBy"] == "the API key"
    assert answer["pauses"][0]["until"] > answer["pauses"][0]["since"]
    for number in range(3):
        bus.publish("alarm.fire", {"n": number})
    wait_until(lambda: len(waiting(bus, "alarm")) == 3, what="events that wait")
    wait_until(lambda: delivered(bus, "copy") == 3, what="no turn: it goes on")
    wait_until(lambda: told(bus) == ["paused"], what="the notice")
    bus.sidecar.kill()
    bus.sidecar.start()
    wait_until(lambda: delivered(bus, "copy") == 3 and bus.health()["way"], what="the sidecar")
    one = waiting(bus, "alarm")[0]
    assert one["reason"] == "all turns are paused by the operator: tests of the siren"
    assert one["until"]
    health = bus.health()
    assert [found["reason"] for found in health["pauses"]] == ["tests of the siren"]
    bus.publish("alarm.fire", {"n": 3})
    wait_until(lambda: len(waiting(bus, "alarm")) == 4, what="one more")
    assert bus.call("POST", "/api/resume", {})[1]["pauses"] == []
    wait_until(lambda: delivered(bus, "alarm") == 4, what="what waited")
    assert sorted(bus.numbers()) == [[0], [1], [2], [3]]
    wait_until(lambda: told(bus) == ["paused", "resumed"], what="the notices")


def test_a_route_is_paused_alone_until_its_time_is_over(bus: Bus) -> None:
    bus.route("one", "agent.events.custom.one", "main")
    bus.route("other", "agent.events.custom.other", "agent:main:other")
    pause(bus, route="one", **{"for": "3s"})
    bus.publish("one", {"n": 10})
    bus.publish("other", {"n": 11})
    wait_until(lambda: delivered(bus, "other") == 1, what="the other route")
    assert [one["reason"] for one in waiting(bus, "one")] == ["the route is paused by the operator"]
    shown = {one["name"]: one.get("paused") for one in bus.call("GET", "/api/routes")[1]["routes"]}
    assert shown["other"] is None
    assert shown["one"]["route"] == "one"
    wait_until(lambda: delivered(bus, "one") == 1, what="the end of the pause")
    assert bus.call("GET", "/api/pause")[1]["pauses"] == []


def test_what_failed_waits_too_and_says_both_reasons(bus: Bus) -> None:
    bus.route("failing", "agent.events.custom.failing", "agent:main:f", retry={"backoff": ["1s", "1s", "1s"]})
    bus.stub.mode("refuse-run", 1)
    pause(bus, route="failing")
    bus.publish("failing", {"n": 20})
    wait_until(lambda: waiting(bus, "failing"), what="it waits")
    bus.call("POST", "/api/resume", {"route": "failing"})
    failed = wait_until(
        lambda: [one for one in waiting(bus, "failing") if one["state"] == "failed"], what="the first attempt failed"
    )[0]
    pause(bus, route="failing", reason="looking")
    said = bus.call("GET", f"/api/pending/{failed['id']}")[1]
    if said["state"] == "failed":  # else the second attempt was under way already, and is left to end
        assert said["reason"].startswith("the route is paused by the operator: looking; the last attempt: ")


def test_everything_holds_what_is_no_turn_and_stops_the_tools_of_agents(bus: Bus) -> None:
    bus.route("copying", "agent.events.custom.copy", {"kind": "subject", "subject": "agent.events.custom.copied"})
    pause(bus, everything=True, reason="an agent runs wild")
    bus.publish("copy", {"n": 30})
    wait_until(lambda: waiting(bus, "copying"), what="it waits")
    assert "everything is paused" in waiting(bus, "copying")[0]["reason"]
    caller = {"agentId": "guest", "sessionKey": "agent:guest:main"}
    for name in ("nats_publish", "nats_timer_set", "nats_events"):
        status, answer = bus.call("POST", f"/api/tools/{name}", {"caller": caller, "parameters": {}})
        assert status == 403
        assert (
            answer["detail"] == "the tools nats_* are stopped: everything is paused by the operator: an agent runs wild"
        )
    bus.call("POST", "/api/resume", {})
    wait_until(lambda: delivered(bus, "copying") == 1, what="it goes on")
    status, answer = bus.call("POST", "/api/tools/nats_timer_list", {"caller": caller, "parameters": {}})
    assert status == 200


def test_expiry_goes_on_and_the_answer_names_the_routes(bus: Bus) -> None:
    bus.route("short", "agent.events.custom.short", "main", expiresAfter="1s")
    bus.route("long", "agent.events.custom.long", "main")
    assert pause(bus)["expiring"] == ["short"]
    bus.publish("short", {"n": 40})
    bus.publish("long", {"n": 41})
    wait_until(lambda: bus.states()["expired"] == 1 and len(waiting(bus, "long")) == 1, what="one expired, one waits")


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"route": "nobody"}, 404, "there is no route 'nobody'"),
        ({"for": "soon"}, 400, "for must be a duration"),
        ({"for": "0s"}, 400, "for must be longer than nothing"),
        ({"for": "999999d"}, 400, "at most a year"),
        ({"reason": "two\nlines"}, 400, "one line"),
        ({"reason": "x" * 201}, 400, "reason"),
        ({"route": "a", "everything": True}, 400, "leave out route"),
        ({"evrything": True}, 400, "evrything"),
        ([], 400, "JSON object"),
    ],
)
def test_a_wrong_pause_is_refused_by_name_and_holds_nothing(bus: Bus, given: Any, status: int, said: str) -> None:
    found, answer = bus.call("POST", "/api/pause", given)
    assert (found, said in answer["detail"]) == (status, True), answer
    assert bus.call("GET", "/api/pause")[1]["pauses"] == []


def test_commands_pause_and_resume_and_say_what_is_paused(bus: Bus) -> None:
    bus.route("bell", "agent.events.custom.bell", "main", expiresAfter="1h")
    bus.route("door bell", "agent.events.custom.doorbell", "main")

    def run(*words: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "openclaw_nats", *words], env=bus.sidecar.environment | {"COLUMNS": "200"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    said = run("pause", "--for", "2h", "--reason", "holidays")
    assert said.returncode == 0, said.stderr
    text = " ".join(said.stdout.split())
    assert "all turns are paused by the command line since" in text
    assert "holidays" in text
    assert "their events expire meanwhile: bell" in text
    assert json.loads(run("pause", "--route", "door bell", "--json").stdout)["pauses"][1]["route"] == "door bell"
    status = " ".join(run("status").stdout.split())
    assert "all turns are paused by the command line" in status
    assert "the route 'door bell' is paused by the command line" in status
    assert "paused" in run("routes").stdout
    doctor = [one for one in json.loads(run("doctor", "--json").stdout)["findings"] if one["check"] == "paused"]
    assert [one["state"] for one in doctor] == ["note", "note"]
    assert "`openclaw-nats resume --route 'door bell'`" in doctor[1]["fix"]
    assert doctor[1]["text"].startswith("the route 'door bell' is paused by the command line since 20")
    assert doctor[1]["text"].endswith(", until it is resumed")
    assert ", until 20" in doctor[0]["text"]
    assert doctor[0]["text"].endswith(": holidays")
    assert "resumed" in run("resume").stdout
    again = run("resume")
    assert again.returncode == 2
    assert "not paused" in again.stderr
    assert "Paused: door bell" in " ".join(again.stderr.split())
    assert run("resume", "--route", "door bell").returncode == 0


def test_a_removed_route_takes_its_pause_along(bus: Bus) -> None:
    bus.route("gone", "agent.events.custom.gone", "main")
    pause(bus, route="gone")
    assert bus.call("DELETE", "/api/routes/gone")[0] == 204
    assert bus.call("GET", "/api/pause")[1]["pauses"] == []
    bus.route("gone", "agent.events.custom.gone", "main")
    bus.publish("gone", {"n": 50})
    wait_until(lambda: delivered(bus, "gone") == 1, what="the new route is not paused")
