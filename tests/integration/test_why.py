"""Why a route did not fire: on a running sidecar, for each gate that can say no."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

DOOR = "agent.events.custom.door.>"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def why(bus: Bus, query: str = "", route: str = "door") -> dict[str, Any]:
    status, found = bus.call("GET", f"/api/routes/{route}/why{query}")
    assert status == 200, found
    return found  # type: ignore[no-any-return]


def answers(found: dict[str, Any]) -> dict[str, Any]:
    return {gate["gate"]: gate for gate in found["shown"][0]["gates"]}


def stored(bus: Bus, name: str, data: Any) -> int:
    """Publish an event; its sequence."""
    status, found = bus.sidecar.publish(f"agent.events.custom.{name}", data)
    assert status == 200
    return int(found["sequence"])


def test_the_part_of_the_condition_that_said_no(bus: Bus) -> None:
    bus.route("door", DOOR, "main", when="data.n > 0 && data.state == 'open'")
    sequence = stored(bus, "door.front", {"n": 1, "state": "closed"})
    found = why(bus, f"?event={sequence}")
    said = "data.state == 'open' is false: data.state is \"closed\""
    assert (found["verdict"], found["delivered"], found["shown"][0]["stoppedBy"]) == (said, 0, "condition")
    assert answers(found)["condition"] == {"gate": "condition", "passed": False, "answer": said}
    assert answers(found)["pattern"]["passed"]
    assert not answers(found)["inbox"]["passed"]
    assert bus.call("GET", "/api/deliveries")[1]["total"] == 0  # asking makes none


def test_another_subject_and_an_event_that_was_there_before(bus: Bus) -> None:
    early = stored(bus, "door.early", {})
    bus.route("door", DOOR, "main")
    sequence = stored(bus, "window", {})
    assert why(bus, f"?event={early}")["shown"][0]["stoppedBy"] == "stored"
    found = why(bus, f"?event={sequence}")
    assert found["shown"][0]["stoppedBy"] == "pattern"
    assert found["verdict"] == f"{DOOR} does not cover agent.events.custom.window"


def test_what_flow_control_holds_says_which_gate_and_until_when(bus: Bus) -> None:
    bus.route("door", DOOR, "main", flow={"debounce": "1h", "maxWait": "2h"})
    sequence = stored(bus, "door.front", {})
    wait_until(lambda: len(bus.pending()) == 1)
    found = why(bus, f"?event={sequence}")
    assert (found["shown"][0]["stoppedBy"], found["shown"][0]["state"]) == ("debounce", "pending")
    assert answers(found)["debounce"]["until"] > found["shown"][0]["storedAt"]
    bus.call("POST", "/api/pause", {"route": "door", "reason": "party"})
    found = why(bus, f"?event={sequence}")
    assert found["shown"][0]["stoppedBy"] == "pause"
    assert "party" in found["verdict"]


def test_a_condition_that_fails_and_a_disabled_route(bus: Bus) -> None:
    bus.route("door", DOOR, "main", when="data.state == 'open'")
    sequence = stored(bus, "door.front", {"n": 1})
    wait_until(lambda: bus.call("GET", "/api/dead")[1]["total"] == 1)
    found = why(bus, f"?event={sequence}")
    assert (found["shown"][0]["state"], found["shown"][0]["stoppedBy"]) == ("dead", "condition")
    assert "has no field" in found["verdict"]
    bus.call("PATCH", "/api/routes/door", {"enabled": False})
    sequence = stored(bus, "door.front", {"state": "open"})
    assert why(bus, f"?event={sequence}")["verdict"] == "the route is disabled"


def test_the_last_hour_is_counted_by_gate_and_reason(bus: Bus) -> None:
    bus.route("door", DOOR, "main", when="data.state == 'open'")
    assert why(bus)["verdict"].startswith(f"no event was stored on {DOOR} in that time, and the stream has none")
    for number in range(30):
        bus.publish("door.front", {"state": "closed", "n": number})
    bus.publish("window", {})
    found = why(bus, "?since=1h")
    assert (found["events"], found["delivered"], found["complete"], len(found["shown"])) == (30, 0, True, 20)
    assert [(one["gate"], one["events"]) for one in found["stopped"]] == [("condition", 30)]
    assert found["shown"][0]["verdict"].endswith('data.state is "closed"')


def test_what_is_asked_wrongly_is_refused(bus: Bus) -> None:
    bus.route("door", DOOR, "main")
    for query, status in (("?event=1&since=1h", 400), ("?event=x", 400), ("?since=soon", 400), ("?event=999999", 404)):
        assert bus.call("GET", f"/api/routes/door/why{query}")[0] == status
    assert bus.call("GET", "/api/routes/nope/why")[0] == 404
    assert bus.sidecar.request("GET", "/api/routes/door/why", key="")[0] == 401


@pytest.mark.parametrize("asked", [[], ["--event"]])
def test_the_command_says_it_in_words(bus: Bus, asked: list[str]) -> None:
    bus.route("door", DOOR, "main", when="data.state == 'open'")
    sequence = stored(bus, "door.front", {"state": "closed"})
    words = [*asked, str(sequence)] if asked else []
    done = bus.sidecar.command("routes", "why", "door", *words)
    assert done.returncode == 0, done.stderr
    assert "condition" in done.stdout
    assert 'data.state is "closed"' in " ".join(done.stdout.split())
