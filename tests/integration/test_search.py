"""Looking through the stream on a real sidecar: filters, text, cursor, histogram, and what becomes of the index."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.jetstream import api
from tests.support.processes import NatsServer, Sidecar, event, wait_until


def search(bus: Sidecar, **query: Any) -> dict[str, Any]:
    status, answer = bus.get(f"/api/events/search?{urlencode(query)}")
    assert status == 200, answer
    return dict(answer)


def found(bus: Sidecar, **query: Any) -> list[str]:
    return [one["event"]["id"] for one in search(bus, **query)["events"]]


def said(number: str, subject: str = "agent.events.custom.test", **more: Any) -> dict[str, Any]:
    return {**event(number, subject), "id": number, **more}


@pytest.fixture(scope="module")
def full(bus: Sidecar) -> Sidecar:
    tool, model = "agent.events.tool.exec", "agent.events.llm.output"
    of_ops = {"agentid": "ops", "sessionkey": "agent:ops:main", "runid": "run-1"}
    of_main = {"agentid": "main", "sessionkey": "agent:main:main", "runid": "run-2"}
    bus.post_events(
        [
            said("exec", f"{tool}.completed", **of_ops, data={"tool": "exec", "params": {"command": "df -h /srv"}}),
            said("fails", f"{tool}.failed", **of_main, data={"tool": "exec", "error": "exit code 4", "success": False}),
            said("model", model, **of_ops, data={"model": "gpt-x", "success": True, "text": 'He said "never mind"'}),
            said("door", "agent.events.custom.door.front", data={"state": "open", "note": "Tür offen, 今日は雨 🚪"}),
            said("probe", "agent.events.plugin.probe", data={"probe": "xyz"}),
        ]
    )
    outsider = json.dumps(said("id-outsider", "agent.events.custom.claims", agentid="ops", data={"claim": "mine"}))
    bus.request(
        "POST", "/api/events?origin=outside", outsider.encode(), {"Content-Type": "application/cloudevents+json"}
    )
    return bus


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"subject": "agent.events.tool.>"}, ["fails", "exec"]),
        ({"subject": "agent.events.*.exec.failed"}, ["fails"]),
        ({"kind": "tool"}, ["fails", "exec"]),
        ({"kind": "nothing"}, []),
        ({"session": "agent:ops:main"}, ["model", "exec"]),
        ({"run": "run-2"}, ["fails"]),
        ({"agent": "ops"}, ["model", "exec"]),
        ({"text": "claim mine"}, ["id-outsider"]),
        ({"origin": "gateway", "failed": "true"}, ["fails"]),
        ({"probes": "true", "kind": "plugin"}, ["probe"]),
        ({"kind": "plugin"}, []),
        ({"text": "df -h"}, ["exec"]),
        ({"text": '"df -h"'}, ["exec"]),
        ({"text": "EXIT code"}, ["fails"]),
        ({"text": "xit cod"}, ["fails"]),
        ({"text": '"code exit"'}, []),
        ({"text": "code exit"}, ["fails"]),
        ({"text": "never"}, ["model"]),
        ({"text": "TÜR"}, ["door"]),
        ({"text": "Tu\u0308r"}, ["door"]),
        ({"text": "今日"}, ["door"]),
        ({"text": "雨"}, ["door"]),
        ({"text": "🚪"}, ["door"]),
        ({"text": "今雨"}, []),
        ({"text": "-h"}, ["exec"]),
        ({"text": "gpt-x", "session": "agent:ops:main"}, ["model"]),
    ],
)
def test_each_filter_finds_what_it_says(full: Sidecar, query: dict[str, str], ids: list[str]) -> None:
    assert found(full, **query) == ids


@pytest.mark.parametrize(
    "text", ["NOT", "a AND", "(", ")", "NEAR(", '"', '""', "body:x", "*", "^a", "x OR", "a\x00b", "'", "\x02", "--"]
)
def test_no_text_is_a_syntax_error(full: Sidecar, text: str) -> None:
    search(full, text=text)


@pytest.mark.parametrize(
    "query",
    [
        {"subject": "tool.>"},
        {"since": "soon"},
        {"kind": "a.b"},
        {"failed": "yes"},
        {"limit": 0},
        {"agent": "x" * 513},
        {"more": 1},
    ],
)
def test_what_is_no_filter_is_refused(full: Sidecar, query: dict[str, Any]) -> None:
    assert full.get(f"/api/events/search?{urlencode(query)}")[0] in (400, 422)


def test_pages_follow_each_other_without_gap_or_overlap(bus: Sidecar) -> None:
    bus.post_events([said(f"page-{n}", "agent.events.custom.pages", data={"n": n, "t": "needle"}) for n in range(250)])
    for more in ({}, {"text": "needle"}, {"text": "ne"}):
        ids: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = search(bus, subject="agent.events.custom.pages", limit=60, **more, **cursor)
            ids += [one["event"]["id"] for one in page["events"]]
            if page["cursor"] is None:
                break
            cursor = {"cursor": page["cursor"]}
        assert ids == [f"page-{n}" for n in reversed(range(250))]


def test_a_range_is_searched_and_counted(bus: Sidecar) -> None:
    bus.post_events([said(f"range-{n}", "agent.events.custom.range") for n in range(5)])
    time.sleep(0.05)
    middle = datetime.now(UTC)
    bus.post_events([said(f"later-{n}", "agent.events.custom.range", data={"error": "x"}) for n in range(3)])
    at = middle.isoformat().replace("+00:00", "Z")
    one = {"subject": "agent.events.custom.range"}
    assert found(bus, **one, since=at) == ["later-2", "later-1", "later-0"]
    assert found(bus, **one, until=at) == [f"range-{n}" for n in reversed(range(5))]
    status, bars = bus.get(f"/api/events/histogram?{urlencode({**one, 'since': '1h'})}")
    assert status == 200
    assert (sum(bars["events"]), sum(bars["failed"]), bars["exact"], bars["complete"]) == (8, 3, True, True)
    assert len(bars["events"]) == len(bars["failed"]) == 60
    assert bars["step"] == pytest.approx(60, rel=0.01)
    nothing = bus.get(f"/api/events/histogram?{urlencode({**one, 'since': at, 'until': at})}")[1]
    assert sum(nothing["events"]) == 0
    later = (middle + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert found(bus, **one, since=later) == []


def test_names_to_filter_by(full: Sidecar) -> None:
    names = full.get("/api/events/names")[1]
    assert {"tool", "llm", "custom"} <= set(names["kinds"])
    assert set(names["agents"]) == {"ops", "main"}
    assert "agent:ops:main" in names["sessions"]
    assert {"gateway", "operator"} <= set(names["origins"])


def test_the_index_is_private_and_is_made_again_by_a_command(full: Sidecar) -> None:
    file = full.home / "events.db"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    before = search(full, kind="tool")
    done = full.command("events", "reindex")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: search(full, kind="tool")["index"]["behind"] == 0)
    assert search(full, kind="tool")["events"] == before["events"]


def test_the_command_takes_the_same_filters_and_goes_on_by_a_cursor(full: Sidecar) -> None:
    def run(*words: str, code: int = 0) -> tuple[list[str], str]:
        done = full.command("events", *words)
        assert done.returncode == code, done.stderr
        return done.stdout.splitlines(), done.stderr

    lines, _ = run("--agent", "ops")
    assert ["tool.exec.completed" in lines[0], "llm.output" in lines[1], len(lines)] == [True, True, 2]
    assert '✓ exec "df -h /srv"' in lines[0]
    lines, said_more = run("--agent", "ops", "--limit", "1", "--json")
    assert [json.loads(one)["id"] for one in lines] == ["model"]
    cursor = said_more.split("--cursor ")[1].split(",")[0]
    lines, said_more = run("--agent", "ops", "--limit", "1", "--json", "--cursor", cursor)
    assert [json.loads(one)["id"] for one in lines] == ["exec"]
    lines, _ = run("--text", '"never mind"', "--json")
    (one,) = map(json.loads, lines)
    assert (one["id"], one["openclaworigin"]) == ("model", "gateway")
    assert not any("plugin.probe" in one for one in run("--limit", "1000")[0])
    assert any("plugin.probe" in one for one in run("--limit", "1000", "--probes")[0])
    assert any("plugin.probe" in one for one in run("--subject", "plugin.probe")[0])
    assert (
        len(run("--failed", "--kind", "tool", "--since", "2020-01-01T00:00:00Z", "--until", "2050-01-01T00:00:00Z")[0])
        == 1
    )
    assert run("--agent", "nobody")[1].strip() == "No event matches."
    run("--since", "whenever", code=2)


class Own:
    """A sidecar and a nats-server of a test's own."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.nats = NatsServer(folder / "nats")
        self.nats.start()
        self.bus = Sidecar(folder / "state", self.nats, config)
        self.bus.start()

    def rows(self) -> list[int]:
        with closing(sqlite3.connect(self.bus.home / "events.db")) as db:
            return [row[0] for row in db.execute("SELECT seq FROM events ORDER BY seq")]

    def close(self) -> None:
        self.bus.close()
        self.nats.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    one = Own(tmp_path)
    yield one
    one.close()


def test_killed_while_it_indexes_nothing_is_missing_and_nothing_there_twice(own: Own) -> None:
    for part in range(10):
        own.bus.post_events([said(f"k{part}-{n}", data={"t": f"word{part}x{n}"}) for n in range(1000)])
    own.bus.command("events", "reindex")
    dice = random.Random(15)
    for _ in range(6):
        time.sleep(dice.uniform(0.05, 0.4))
        own.bus.kill()
        own.bus.start()
    wait_until(lambda: search(own.bus)["index"]["behind"] == 0, 60)
    assert own.rows() == list(range(1, 10_001))
    for part, n in ((0, 0), (3, 500), (9, 999)):
        assert f"k{part}-{n}" in found(own.bus, text=f"word{part}x{n}")
    assert search(own.bus)["index"]["events"] == 10_000


def test_what_has_left_the_stream_leaves_the_index(own: Own) -> None:
    own.bus.post_events([said(f"p{n}", f"agent.events.custom.{'a' if n % 2 else 'b'}") for n in range(100)])
    assert len(found(own.bus, limit=1000)) == 100
    api(own.nats, "STREAM.PURGE.agent_events", {"filter": "agent.events.custom.a"})
    assert len(found(own.bus, limit=1000)) == 50, "what is gone is not shown"
    assert len(own.rows()) == 50, "and leaves the index when somebody meets it"
    api(own.nats, "STREAM.PURGE.agent_events", {"seq": 61})
    wait_until(lambda: min(own.rows()) >= 61, 15)
    api(own.nats, "STREAM.PURGE.agent_events", {})
    wait_until(lambda: own.rows() == [], 15)
    own.bus.post_events([said("new")])
    assert found(own.bus) == ["new"]


def test_a_stream_that_was_made_again_is_indexed_from_its_beginning(own: Own) -> None:
    own.bus.post_events([said(f"old{n}", data={"t": "former"}) for n in range(20)])
    assert len(found(own.bus, text="former")) == 20
    api(own.nats, "STREAM.DELETE.agent_events", {})
    wait_until(lambda: own.bus.post_events([said(f"new{n}") for n in range(30)])[0] == 200, 60)
    wait_until(lambda: sorted(found(own.bus)) == sorted(f"new{n}" for n in range(30)), 30)
    assert found(own.bus, text="former") == []


def test_a_damaged_file_is_made_again_and_holds_nothing_up(own: Own) -> None:
    own.bus.post_events([said(f"d{n}") for n in range(50)])
    assert len(found(own.bus)) == 50
    own.bus.kill()
    for name in ("events.db-wal", "events.db-shm"):
        (own.bus.home / name).unlink(missing_ok=True)
    (own.bus.home / "events.db").write_bytes(b"no database" * 1000)
    own.bus.start()
    assert own.bus.post_events([said("after")])[0] == 200
    wait_until(lambda: len(found(own.bus)) == 51, 30)


def test_the_index_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    own = Own(tmp_path, '[index]\nmax_bytes = "16MiB"\n')
    try:
        dice = random.Random(1)
        for part in range(30):
            texts = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=1200)) for _ in range(400)]
            own.bus.post_events([said(f"b{part}-{n}", data={"t": text}) for n, text in enumerate(texts)])
        wait_until(lambda: search(own.bus, limit=1)["index"]["behind"] == 0, 120)
        report = search(own.bus, limit=1)["index"]
        assert report["bytes"] <= 16 << 20
        rows = own.rows()
        assert rows[-1] == 12_000
        assert 1 < rows[0] < 11_000
        assert rows == list(range(rows[0], 12_001)), "one piece, the newest"
        assert (own.bus.home / "events.db").stat().st_size < 24 << 20
        page = search(own.bus, text="nowhere to be found")
        assert (page["events"], page["cursor"]) == ([], None)
        assert page["lookedBackTo"] == report["oldest"]
    finally:
        own.close()
