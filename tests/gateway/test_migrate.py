"""Switching from @omnixal/openclaw-nats-plugin on a real Gateway: shown, taken over, used by its scripts, undone."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from openclaw_nats.port_holder import free_port
from tests.gateway.test_setup import Install
from tests.support import model_log
from tests.support.processes import NatsServer, wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

KEY = "0123456789abcdef" * 4
# The tables of its versions 0.2.x, as its public schema has them.
TABLES = """
CREATE TABLE event_routes (id text PRIMARY KEY, name text NOT NULL UNIQUE, pattern text NOT NULL,
  target text NOT NULL DEFAULT 'main', enabled integer NOT NULL DEFAULT 1, priority integer NOT NULL DEFAULT 5,
  filter text, filter_drop_count integer NOT NULL DEFAULT 0, created_at integer NOT NULL, last_delivered_at integer,
  last_event_subject text, delivery_count integer NOT NULL DEFAULT 0, last_delivery_lag_ms integer,
  custom_payload text);
CREATE TABLE cron_jobs (id text PRIMARY KEY, name text NOT NULL UNIQUE, expr text NOT NULL, subject text NOT NULL,
  payload text, timezone text NOT NULL DEFAULT 'UTC', enabled integer NOT NULL DEFAULT 1, last_run_at integer,
  created_at integer NOT NULL);
CREATE TABLE timer_jobs (id text PRIMARY KEY, name text NOT NULL UNIQUE, subject text NOT NULL, payload text,
  delay_ms integer NOT NULL, fire_at integer NOT NULL, fired integer NOT NULL DEFAULT 0, created_at integer NOT NULL);
CREATE TABLE pending_events (id text PRIMARY KEY, session_key text NOT NULL, subject text NOT NULL, payload text,
  priority integer NOT NULL DEFAULT 5, created_at integer NOT NULL, delivered_at integer);
"""
FILTER = {"logic": "and", "conditions": [{"field": "state", "op": "eq", "value": "open"}]}


def fill(path: Path) -> None:
    """A database as its users have one."""
    path.parent.mkdir(parents=True)
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript(TABLES)
        routes = [
            ("r1", "doors", "agent.events.custom.door.>", "main", 1, 8, json.dumps(FILTER), now, '{"from": "house"}'),
            ("r2", "a/b", "agent.events.custom.off", "main", 0, 5, None, now, None),
            ("r3", "broken", "agent.events..x", "main", 1, 5, None, now, None),
            ("r4", "held", "agent.events.custom.held", "main", 1, 5, None, now, None),
        ]
        columns = "id, name, pattern, target, enabled, priority, filter, created_at, custom_payload"
        db.executemany(f"INSERT INTO event_routes ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", routes)  # noqa: S608
        jobs = [
            ("c1", "report", "0 9 * * 1-5", "agent.events.cron.report", '{"what": "all"}', "Europe/Berlin", 1, now),
            ("c2", "wrong", "61 * * * *", "agent.events.cron.wrong", None, "UTC", 1, now),
        ]
        columns = "id, name, expr, subject, payload, timezone, enabled, created_at"
        db.executemany(f"INSERT INTO cron_jobs ({columns}) VALUES (?,?,?,?,?,?,?,?)", jobs)  # noqa: S608
        timers = [
            ("t1", "tea", "agent.events.timer.tea", '{"cups": 2}', 60_000, now + 3_600_000, 0, now),
            ("t2", "over", "agent.events.timer.over", None, 60_000, now - 3_600_000, 1, now),
        ]
        columns = "id, name, subject, payload, delay_ms, fire_at, fired, created_at"
        db.executemany(f"INSERT INTO timer_jobs ({columns}) VALUES (?,?,?,?,?,?,?,?)", timers)  # noqa: S608
        pending = [
            ("p1", "agent:main:main", "agent.events.custom.held", '{"n": 1}', 5, now, None),
            ("p2", "agent:main:main", "agent.events.custom.held", '{"n": 2}', 5, now, now),
        ]
        db.executemany("INSERT INTO pending_events VALUES (?,?,?,?,?,?,?)", pending)


class House(Install):
    """A Gateway with the older plugin, its sidecar running, and ours set up beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "2026.9.6")
        self.older = self.gateway.state / "nats-plugin"
        self.port = free_port()
        self.nats = NatsServer(folder / "older-nats")
        self.nats.config.write_text(
            f'listen: 127.0.0.1:{self.nats.port}\njetstream: {{ store_dir: "{folder}/older-js" }}\n'
        )
        self.sidecar: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Put everything in place."""
        self.nats.start()
        asyncio.run(self._stream())
        fill(self.older / "sidecar" / "data" / "nats-sidecar.db")
        self.env_file = self.gateway.state / ".env"
        self.env_file.write_text(
            f"OTHER=1\nNATS_SIDECAR_URL=http://127.0.0.1:{self.port}\nNATS_PLUGIN_API_KEY={KEY}\nNATS_SERVERS={self.nats.url}\n"
        )
        script = self.older / "sidecar" / "stand-in.py"
        script.write_text(
            "import http.server, sys\nhttp.server.HTTPServer(('127.0.0.1', int(sys.argv[1])),"
            " http.server.BaseHTTPRequestHandler).serve_forever()\n"
        )
        self.sidecar = subprocess.Popen([sys.executable, str(script), str(self.port)])
        (self.older / "pids").mkdir()
        (self.older / "pids" / "openclaw-nats-sidecar.pid").write_text(str(self.sidecar.pid))
        plugin = self.gateway.state / "extensions" / "openclaw-nats-plugin"
        plugin.mkdir(parents=True)
        manifest = {"id": "openclaw-nats-plugin", "configSchema": {"type": "object", "properties": {}}}
        (plugin / "openclaw.plugin.json").write_text(json.dumps(manifest))
        (plugin / "index.js").write_text("export default { id: 'openclaw-nats-plugin', register() {} };\n")
        (plugin / "package.json").write_text(
            '{"name": "openclaw-nats-plugin", "type": "module", "openclaw": {"extensions": ["./index.js"]}}'
        )

    async def _stream(self) -> None:
        client = await nats.connect(self.nats.url)
        stream = client.jetstream()
        await stream.add_stream(name="agent_events", subjects=["agent.events.>"])
        for number in range(3):
            envelope = {
                "id": f"old-{number}",
                "subject": "agent.events.custom.door.front",
                "timestamp": "2026-11-01T00:00:00Z",
            }
            await stream.publish(
                "agent.events.custom.door.front",
                json.dumps({**envelope, "payload": {"state": "open", "n": number}}).encode(),
            )
        await client.close()

    def script(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request as one of its scripts sends it: to its port, with its key."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def prompts(self) -> list[str]:
        """What the model was asked."""
        return [request["user"] for request in model_log.requests(self.gateway.model_log)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("migrate"))
    one.prepare()
    one.gateway.start()
    one.run("setup", "--yes", *one.ports)
    yield one
    one.run("uninstall", "--purge", "--yes")
    one.gateway.close()
    one.nats.close()
    assert one.sidecar is not None
    one.sidecar.kill()
    one.sidecar.wait()


def test_a_dry_run_shows_everything_and_changes_nothing(house: House) -> None:
    report = house.json("migrate", "--dry-run")
    actions = {(one["kind"], one["name"]): one["action"] for one in report["items"]}
    assert actions == {
        ("route", "doors"): "add",
        ("route", "a-b"): "add",
        ("route", "broken"): "skip",
        ("route", "held"): "add",
        ("cron job", "report"): "add",
        ("cron job", "wrong"): "skip",
        ("timer", "tea"): "add",
        ("pending event", "p1"): "add",
    }
    notes = {one["name"]: one["why"] for one in report["items"]}
    assert "empty token" in notes["broken"]
    assert "Europe/Berlin" in notes["report"]
    assert report["streams"] == {"agent_events": 3}
    assert report["adopts"] == ["key", "port"]
    assert report["plugin"] is True
    assert house.sidecar is not None
    assert report["services"] == [f"process {house.sidecar.pid}"]
    shown = house.run("migrate", "--dry-run")
    assert "Our sidecar takes over" in shown
    assert house.json("routes")["routes"] == []
    assert house.sidecar.poll() is None


def test_it_takes_everything_over_and_its_scripts_need_no_change(house: House) -> None:
    before = len(house.prompts())
    answer = house.json("migrate", "--yes")
    assert answer["copied"] == 3
    assert house.sidecar is not None
    house.sidecar.wait(20)
    routes = {one["name"]: one for one in house.json("routes")["routes"]}
    assert routes.keys() == {"doors", "a-b", "held"}
    doors = routes["doors"]
    assert (doors["priority"], doors["filter"], doors["payload"]) == (8, FILTER, {"from": "house"})
    assert routes["a-b"]["enabled"] is False
    (job,) = house.json("cron")["jobs"]
    assert (job["cron"], job["timezone"], job["payload"]) == ("0 9 * * 1-5", "Europe/Berlin", {"what": "all"})
    assert [one["name"] for one in house.json("timers")["timers"]] == ["tea"]
    entries = json.loads(house.gateway.config_path.read_text())["plugins"]["entries"]
    assert entries["openclaw-nats-plugin"]["enabled"] is False
    # what waited there goes out here; what was copied wakes nobody
    wait_until(
        lambda: any("[NATS:agent.events.custom.held]" in text for text in house.prompts()[before:]),
        60,
        "the pending event",
    )
    assert not any("door.front" in text for text in house.prompts())
    old = house.events("--subject", "agent.events.custom.door.>")
    assert [one["id"] for one in old] == ["old-0", "old-1", "old-2"]
    # Whoever said it there, it is nobody's word here: what was copied, and what waited.
    assert {one["openclaworigin"] for one in [*old, *house.events("--subject", "agent.events.custom.held")]} == {
        "outside"
    }
    status, published = house.script(
        "POST", "/api/publish", {"subject": "agent.events.custom.door.back", "payload": {"state": "open"}}
    )
    assert (status, published["success"]) == (200, True)
    wait_until(lambda: any('"from": "house"' in text for text in house.prompts()), 60, "the turn")
    assert (
        house.script("POST", "/api/cron/timer", {"name": "x", "delayMs": 9e6, "subject": "agent.events.timer.x"})[0]
        == 200
    )
    assert house.script("DELETE", "/api/cron/timer/x")[0] == 200


def test_the_gateways_events_come_also_after_its_restart_with_the_variables_in_its_environment(house: House) -> None:
    house.gateway.stop()
    house.gateway.start()
    wait_until(lambda: house.status()["plugin"]["reachable"], 40, "the plugin's report")
    house.turn("!say hello")
    wait_until(lambda: house.events("--subject", "agent.events.agent.run_ended", "--since", "1m"), 30, "the event")


def test_again_it_has_nothing_to_do(house: House) -> None:
    actions = {one["name"]: one["action"] for one in house.json("migrate", "--dry-run")["items"]}
    assert [actions[name] for name in ("doors", "a-b", "held", "report")] == ["same"] * 4


def test_undo_takes_it_all_back(house: House) -> None:
    key = (house.home / "api-key").read_text().strip()
    assert key == KEY
    answer = house.json("migrate", "--undo")
    assert answer["undone"] is True
    assert any("has to be started" in one for one in answer["left"])
    assert house.json("routes")["routes"] == []
    assert house.json("cron")["jobs"] == []
    assert house.json("timers")["timers"] == []
    assert (house.home / "api-key").read_text().strip() != KEY
    entries = json.loads(house.gateway.config_path.read_text())["plugins"]["entries"]
    assert entries["openclaw-nats-plugin"]["enabled"] is True
    assert "nothing to undo" in json.dumps(house.json("migrate", "--undo", code=1))


def test_without_the_older_plugin_it_says_where_it_looked(house: House, tmp_path: Path) -> None:
    told = house.json("migrate", "--database", str(tmp_path / "none.db"), code=1)
    assert str(tmp_path / "none.db") in told["error"]
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as db, db:
        db.execute("CREATE TABLE x (y)")
    assert "has no table event_routes" in house.json("migrate", "--database", str(other), code=1)["error"]
    rubbish = tmp_path / "rubbish.db"
    rubbish.write_bytes(b"this is no database, however long it may be" * 100)
    assert "can't be read" in house.json("migrate", "--database", str(rubbish), code=1)["error"]
