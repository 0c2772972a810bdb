"""Several sidecars on one NATS: one of a name delivers, and nobody deletes what another has still to see."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, wait_until


class Fleet:
    """A NATS and the sidecars on it; each repeats what comes in on a subject of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nats = NatsServer(folder / "nats")
        self.nats.start()
        self.sidecars: list[Sidecar] = []

    def sidecar(self, folder: str, name: str, *, start: bool = True) -> Sidecar:
        one = Sidecar(self.folder / folder, self.nats, f'[gateway]\nid = "{name}"\nurl = "http://127.0.0.1:9"\n')
        self.sidecars.append(one)
        if start:
            one.start()
        return one

    def close(self) -> None:
        for one in self.sidecars:
            one.close()
        self.nats.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    one = Fleet(tmp_path)
    yield one
    one.close()


def identity(sidecar: Sidecar) -> dict[str, Any]:
    return dict(sidecar.get("/api/health")[1]["identity"])


def state(sidecar: Sidecar, wanted: str, seconds: float = 20) -> dict[str, Any]:
    return wait_until(lambda: (found := identity(sidecar))["state"] == wanted and found, seconds, f"lease {wanted}")


def route(sidecar: Sidecar, name: str, out: str, **more: Any) -> None:
    document = {"name": name, "pattern": "agent.events.custom.in.>", "flow": {"concurrency": 8}, **more}
    document.setdefault("target", {"kind": "subject", "subject": f"agent.events.custom.{out}"})
    status, answer = sidecar.call("POST", "/api/routes", document)
    assert status == 201, answer


def publish(sidecar: Sidecar, *numbers: int, subject: str = "agent.events.custom.in.x") -> None:
    for number in numbers:
        assert sidecar.publish(subject, {"n": number})[0] == 200


def outcome(sidecar: Sidecar, out: str) -> list[int]:
    return sorted(one["data"]["n"] for one in sidecar.events(f"?subject=agent.events.custom.{out}"))


def account(sidecar: Sidecar) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(f"file:{sidecar.home / 'sidecar.db'}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT value FROM facts WHERE name = 'events missed'").fetchone()
    return dict(json.loads(row[0])) if row else {}


def test_the_second_sidecar_of_a_name_delivers_nothing_says_so_and_loses_nothing(fleet: Fleet) -> None:
    first = fleet.sidecar("a", "kitchen")
    state(first, "held")
    route(first, "r", "out-a")
    second = fleet.sidecar("b", "kitchen")
    found = state(second, "refused")
    assert found["holder"] == {"host": identity(second)["holder"]["host"], "folder": str(first.home)}
    route(second, "r", "out-b")
    publish(first, *range(10))
    publish(second, *range(10, 20))  # its own events are stored all the same
    wait_until(lambda: outcome(first, "out-a") == list(range(20)), what="all at the first")
    assert outcome(first, "out-b") == []
    assert second.get("/api/health")[0] == 200
    delivery = second.get("/api/health")[1]["delivery"]
    assert not delivery["reachable"]
    assert (first.metric("openclaw_nats_lease_held"), second.metric("openclaw_nats_lease_held")) == (1, 0)
    assert "gateway.id 'kitchen'" in delivery["lastError"]
    told = second.command("status")
    assert told.returncode == 3
    assert "gateway.id" in told.stdout
    assert first.command("status", "--json").stdout.count('"held"') == 1


def test_the_next_one_takes_over_after_the_first_is_gone_and_a_restart_does_not_wait(fleet: Fleet) -> None:
    first = fleet.sidecar("a", "kitchen")
    state(first, "held")
    first.kill()
    first.start()
    assert state(first, "held", 5)["epoch"] == 2  # not after the 12 s of the lease
    second = fleet.sidecar("b", "kitchen")
    state(second, "refused")
    route(second, "r", "out-b")
    first.kill()
    publish(second, 1, 2, 3)
    state(second, "held", 25)
    wait_until(lambda: outcome(second, "out-b") == [1, 2, 3], what="delivered by the second")
    first.start()
    state(first, "refused")


def test_what_waits_in_a_copied_inbox_is_delivered_once(fleet: Fleet) -> None:
    first = fleet.sidecar("a", "kitchen")
    state(first, "held")
    route(first, "r", "out", flow={"batch": {"size": 100, "wait": "8s"}})
    publish(first, *range(20))
    wait_until(lambda: first.get("/api/health")[1]["delivery"]["waiting"] == 20, what="all wait")
    first.kill()
    shutil.copytree(first.state, fleet.folder / "copy", ignore=shutil.ignore_patterns("*.sock"))
    copy = fleet.sidecar("copy", "kitchen", start=False)
    first.start()
    state(first, "held")
    copy.start()
    wait_until(lambda: "copy" in identity(copy)["lastError"], what="the copy knows that it is one")
    wait_until(lambda: first.get("/api/health")[1]["delivery"]["counts"]["delivered"] == 20, 30, "delivered")
    first.kill()  # and even when the first is gone for longer than the lease
    with pytest.raises(AssertionError, match="did not come true"):
        wait_until(lambda: identity(copy)["state"] == "held", 15)
    assert copy.get("/api/health")[1]["delivery"]["counts"]["delivered"] == 0


def test_names_that_differ_only_by_a_sign_are_two(fleet: Fleet) -> None:
    names = ["a.b", "a-b", "a b", "ä-b"]
    sidecars = [fleet.sidecar(f"s{number}", name) for number, name in enumerate(names)]
    for number, one in enumerate(sidecars):
        state(one, "held")
        route(one, "r", f"out-{number}")
    publish(sidecars[0], 1, 2, 3)
    for number, one in enumerate(sidecars):
        wait_until(lambda one=one, number=number: outcome(one, f"out-{number}") == [1, 2, 3], what=f"all at {number}")


def test_a_new_machine_under_a_name_goes_on_where_the_old_one_was(fleet: Fleet) -> None:
    """Nobody deletes the consumer of the old one: not the new sidecar that has no routes yet."""
    old, other = fleet.sidecar("old", "kitchen"), fleet.sidecar("other", "other")
    state(old, "held")
    route(old, "now", "out")
    publish(old, *range(10))
    wait_until(lambda: outcome(old, "out") == list(range(10)), what="ten delivered by the old one")
    old.kill()
    publish(other, *range(10, 20))
    new = fleet.sidecar("new", "kitchen")
    state(new, "held", 25)
    name = "openclaw-nats-kitchen"
    assert jetstream.api(fleet.nats, f"CONSUMER.INFO.agent_events.{name}")["num_pending"] == 10
    route(new, "now", "out")
    publish(new, *range(20, 30))
    wait_until(lambda: set(outcome(new, "out")) >= set(range(30)), what="nothing in between is lost")
    assert outcome(new, "out") == list(range(30))
    assert "another machine" in new.command("status").stdout
    route(new, "unrelated", "out-2", pattern="agent.events.custom.elsewhere")
    publish(new, 99, subject="agent.events.custom.elsewhere")
    wait_until(lambda: outcome(new, "out-2") == [99], what="a route for something else")


@pytest.mark.parametrize(("how", "missed"), [({"keep": 10}, 40), ({"filter": "agent.events.custom.in.b"}, 20)])
def test_events_that_went_before_they_were_seen_are_counted_and_said(
    fleet: Fleet, how: dict[str, Any], missed: int
) -> None:
    sidecar, other = fleet.sidecar("a", "kitchen"), fleet.sidecar("other", "other")
    state(sidecar, "held")
    route(sidecar, "r", "out")
    publish(sidecar, *range(5))
    wait_until(lambda: outcome(sidecar, "out") == list(range(5)), what="five delivered")
    wait_until(lambda: account(sidecar).get("handled") == 10, what="five in and five out are accounted for")
    sidecar.kill()
    publish(other, *range(100, 130), subject="agent.events.custom.in.a")
    publish(other, *range(130, 150), subject="agent.events.custom.in.b")
    assert jetstream.api(fleet.nats, "STREAM.PURGE.agent_events", how)["success"]
    sidecar.start()
    found = wait_until(lambda: sidecar.get("/api/health")[1]["delivery"]["missed"], what="the loss is known")
    assert (found["total"], found["last"]) == (missed, missed)
    assert sidecar.metric("openclaw_nats_events_missed_total") == missed
    rows = sidecar.events("?subject=agent.events.bus.events_missed")
    assert [row["data"]["events"] for row in rows] == [missed]
    assert f"{missed} events" in sidecar.command("status").stdout
    for _ in range(2):  # it is counted once
        sidecar.kill()
        sidecar.start()
        state(sidecar, "held")
        wait_until(lambda: sidecar.get("/api/health")[1]["delivery"]["missed"], what="still known")
        assert sidecar.metric("openclaw_nats_events_missed_total") == missed
    publish(other, 1000)
    wait_until(lambda: 1000 in outcome(sidecar, "out"), what="and it goes on")
    assert sidecar.metric("openclaw_nats_events_missed_total") == missed


def test_without_a_route_nothing_is_missed(fleet: Fleet) -> None:
    sidecar, other = fleet.sidecar("a", "kitchen"), fleet.sidecar("other", "other")
    state(sidecar, "held")
    sidecar.kill()
    publish(other, *range(20))
    assert jetstream.api(fleet.nats, "STREAM.PURGE.agent_events")["success"]
    sidecar.start()
    state(sidecar, "held")
    route(sidecar, "r", "out")
    publish(other, 1)
    wait_until(lambda: outcome(sidecar, "out") == [1], what="delivered")
    assert sidecar.get("/api/health")[1]["delivery"]["missed"] is None


def test_a_holder_that_stood_still_beyond_its_lease_takes_and_delivers_nothing_that_another_has(fleet: Fleet) -> None:
    first = fleet.sidecar("a", "kitchen")
    state(first, "held")
    route(first, "r", "out")
    publish(first, *range(5))
    wait_until(lambda: outcome(first, "out") == list(range(5)), what="all at the first")
    second = fleet.sidecar("b", "kitchen")
    state(second, "refused")
    route(second, "r", "out")
    first.signal(signal.SIGSTOP)
    for number in range(5, 25):  # they lie in the first one's socket, while it sleeps
        data = json.dumps({"n": number}).encode()
        jetstream.publish(fleet.nats, "agent.events.custom.in.x", data)
    state(second, "held", 40)
    wait_until(lambda: set(outcome(second, "out")) == set(range(25)), 40, "what the first was given and did not take")
    first.signal(signal.SIGCONT)
    state(first, "refused")
    publish(second, *range(25, 30))
    wait_until(lambda: set(outcome(second, "out")) == set(range(30)), what="new ones at the second")
    second.close()  # for good: the first follows, with nothing in its inbox that the second has delivered
    state(first, "held", 40)
    publish(first, 30)
    wait_until(lambda: 30 in outcome(first, "out"), what="one at the first again")
    assert outcome(first, "out") == list(range(31))
