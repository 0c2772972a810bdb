"""The built-in expectations on a running sidecar: what is true is said once, whatever is killed."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from openclaw_nats.contract.plugin import PluginReport
from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, event, kill_in_turn, wait_until

LONG = "watchdog-run-long"
ENDED = "agent.events.agent.run_ended"
CALL = "agent.events.model.call.completed"


class World:
    """A sidecar, and a Gateway's plugin that reports to it as long as the world lasts."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.sent = 0
        self.gateway = sidecar.get("/api/health")[1]["identity"]["gatewayId"]
        wait_until(lambda: self._row("SELECT 1 FROM facts WHERE name = 'expectations position'"), 20, "the beginning")

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Reports, more often than a plugin sends them, also while nobody hears them."""
        done = threading.Event()

        def report() -> None:
            body = msgspec.json.encode(PluginReport("0.2.0", gateway_version="2026.9.7", started_at="once"))
            while not done.wait(1):
                with suppress(OSError):
                    self.sidecar.request("POST", "/api/plugin/report", body, {"Content-Type": "application/json"})

        thread = threading.Thread(target=report)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def run(self, number: int | str, subject: str, **data: Any) -> None:
        """An event of a run, from the plugin."""
        self.sent += 1
        more = {"runid": f"run-{number}", "agentid": "main", "gatewayid": self.gateway, "data": data}
        assert self.sidecar.post_events([event(f"{self.sent}-{subject}", subject, **more)])[0] == 200

    def rules(self) -> dict[str, str]:
        found = self.sidecar.get("/api/expectations")[1]["watchdog"]
        return {one["name"]: one["state"] for one in found}

    def said(self) -> list[tuple[str, str, str]]:
        found = self.sidecar.events("?subject=agent.events.expectation.%3E")
        return [(*one["subject"].split(".")[3:], one["data"]["key"]) for one in found]

    def _row(self, sql: str, *values: str) -> Any:
        with sqlite3.connect(self.sidecar.home / "sidecar.db") as db:
            return db.execute(sql, values).fetchone()

    def followed(self, run: str) -> str:
        row = self._row("SELECT state FROM watchdog_runs WHERE run = ?", run)
        return str(row[0]) if row else ""

    def age(self, run: str, seconds: float) -> None:
        """So much more of the watchdog's own time has passed since a run began; the sidecar is down."""
        with sqlite3.connect(self.sidecar.home / "sidecar.db") as db:
            changed = db.execute("UPDATE watchdog_runs SET began = began - ? WHERE run = ?", (seconds, run))
            assert changed.rowcount == 1


def test_what_is_usual_is_kept_and_the_rules_can_be_turned_off(sidecar: Sidecar) -> None:
    world = World(sidecar)
    assert set(world.rules().values()) == {"learning"}
    for number in range(10):
        world.run(number, ENDED, durationMs=2000)
    time.sleep(2)
    sidecar.kill()
    sidecar.start()
    for number in range(10, 20):
        world.run(number, ENDED, durationMs=2000)
    wait_until(lambda: world.rules()[LONG] == "ok", 20, "what is usual")
    assert world.rules()["watchdog-gateway-silent"] == "learning"
    sidecar.kill()
    sidecar.start()
    assert world.rules()[LONG] == "ok"
    assert sidecar.call("DELETE", f"/api/expectations/{LONG}")[0] == 409
    assert sidecar.call("POST", "/api/expectations", {"name": LONG, "by": ENDED, "every": "1d"})[0] == 409
    assert "built in: a run has no end" in " ".join(sidecar.command("expect", "list").stdout.split())
    assert world.said() == []
    assert sidecar.command("config", "set", "watchdog.enabled", "false").returncode == 0
    sidecar.kill()
    sidecar.start()
    assert set(world.rules().values()) == {"off"}


def test_a_run_that_takes_long_is_reported_everywhere_once_whatever_is_killed(
    nats: NatsServer, sidecar: Sidecar
) -> None:
    world = World(sidecar)
    assert sidecar.call("POST", "/api/alerts", {"name": "phone", "to": "http://127.0.0.1:9/", "window": "0s"})[0] == 201
    for number in range(20):
        world.run(number, ENDED, durationMs=2000)
    with world.reporting():
        wait_until(lambda: _follows(world, "slow"), 90, "a run that is followed")
        world.run("quick", CALL)
        sidecar.kill()
        world.age("run-slow", 1000)
        nats.kill()
        nats.start()
        sidecar.start()
        kill_in_turn([sidecar, nats], 2, 4.0, threading.Event())
        sidecar.wait_up()
        wait_until(lambda: world.said() == [("missed", LONG, "run-slow")], 90, "the notice")
        for victim in (sidecar, nats, sidecar):
            victim.kill()
            victim.start()
            time.sleep(2)
        sidecar.wait_up()
        forged = {"runid": "run-slow", "agentid": "main", "gatewayid": world.gateway}
        jetstream.publish(nats, ENDED, json.dumps(event("forged", ENDED, **forged)).encode())
        time.sleep(2)
        assert world.said() == [("missed", LONG, "run-slow")], "once, and somebody else's word does not end it"
        assert sidecar.get("/api/health")[1]["expectations"]["missed"] == [LONG]
        assert f"1 expectation missed: {LONG}" in sidecar.command("status").stdout
        found = json.loads(sidecar.command("doctor", "--json").stdout)["findings"]
        assert [one["text"] for one in found if one["check"] == "expectations"] == [f"the expectation {LONG} is missed"]
        listed = " ".join(sidecar.command("expect", "list").stdout.split())
        assert "a run takes longer than usual for its agent: run-slow (main) since 20" in listed
        wait_until(lambda: f"expectation:{LONG}" in _alerts(sidecar), 40, "the alert")
        world.run("slow", ENDED, durationMs=1_000_000)
        recovered = [("missed", LONG, "run-slow"), ("recovered", LONG, "run-slow")]
        wait_until(lambda: world.said() == recovered, 20, "the recovery")
        assert world.rules()[LONG] == "ok"
        sidecar.kill()
        sidecar.start()
        time.sleep(3)
        assert world.said() == recovered, "the other run is not unusual"
        assert world.followed("run-quick") == "open"


def _follows(world: World, name: str) -> bool:
    """Runs that begin before the sidecar knows the Gateway's process are not followed."""
    world.run(name, CALL)
    time.sleep(1)
    return world.followed(f"run-{name}") == "open"


def _alerts(sidecar: Sidecar) -> list[str]:
    return [one["key"] for one in sidecar.get("/api/alerts")[1]["conditions"]]
