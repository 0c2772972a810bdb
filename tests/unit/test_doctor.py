"""Findings that need a small disk, a wrong clock or a slow spool: the check itself, with what it looks at arranged."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats import __version__
from openclaw_nats.doctor import examine, journeys, machine, nats_side, openclaw_side
from openclaw_nats.doctor.bounded import Check, bounded
from openclaw_nats.doctor.finding import Finding, ok
from openclaw_nats.jetstream.stream_clock import StreamClock
from openclaw_nats.settings import load


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    assert os.geteuid() == 0, "this test mounts a small disk, which needs root"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_nearly_full_is_a_problem(small_disk: Path) -> None:
    (finding,) = machine.disk(load(small_disk, {}))
    assert finding.state == "problem"
    assert "stream.max_bytes" in finding.fix


@pytest.mark.parametrize(("kind", "state"), [("lastError", "problem"), ("note", "note")])
def test_an_inbox_that_is_full_or_nearly_so_is_a_finding(kind: str, state: str) -> None:
    inbox = {"bytes": 1, "maxBytes": 2, "lastError": "", "note": "", kind: "what waits takes 15 MiB"}
    first, *_ = journeys.way_to_agents({"inbox": inbox, "way": "plugin"})
    assert (first.check, first.state, first.text) == ("inbox", state, "what waits takes 15 MiB")
    assert "inbox.max_bytes" in first.fix


def test_a_clock_of_years_ago_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    (finding,) = machine.clock()
    assert finding.state == "problem"


def test_a_server_whose_clock_is_apart_is_a_problem() -> None:
    def findings(text: str) -> list[Finding]:
        clock = StreamClock()
        clock.heard({"ts": text}, clock.asked())
        return nats_side._server_clock(clock)

    apart = time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime(time.time() - 120))
    (finding,) = findings(apart)
    assert finding.state == "problem"
    assert "120 s ahead" in finding.text or "121 s ahead" in finding.text
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert [one.state for one in findings(now)] == ["ok"]
    assert findings("") == []


def test_a_spool_that_does_not_get_empty_is_a_problem() -> None:
    spool = {"events": 12, "bytes": 1, "oldestSeconds": 300.0, "dropped": 3, "rejected": 1}
    plugin = {"reachable": True, "version": "1", "problems": ["a permission is missing"], "spool": spool}
    found = list(openclaw_side.reports({"plugin": plugin}, None))
    assert [(one.check, one.state) for one in found] == [
        ("key", "ok"),
        ("plugin", "problem"),
        ("spool", "problem"),
        ("spool", "note"),
        ("spool", "note"),
    ]


def test_listening_beyond_loopback_is_told(tmp_path: Path) -> None:
    settings: Any = load(tmp_path, {"OPENCLAW_NATS_SIDECAR_HOST": "0.0.0.0"})  # noqa: S104
    assert any(one.state == "note" and "every machine" in one.text for one in machine.ports(settings))


def test_an_address_that_is_not_the_sidecars_own_is_a_problem(tmp_path: Path) -> None:
    settings: Any = load(tmp_path, {"OPENCLAW_NATS_SIDECAR_PORT": "3999"})
    assert any("sidecar.url is" in one.text and one.state == "problem" for one in machine.ports(settings))


@pytest.mark.parametrize(
    ("delivery", "state", "text"),
    [
        ({"way": "plugin"}, "ok", "by the plugin"),
        ({"way": "hooks"}, "ok", "by the hooks"),
        ({"way": ""}, "note", "not connected now"),
        ({"way": "hooks", "lastError": "no hook token"}, "problem", "no hook token"),
    ],
)
def test_there_is_always_a_word_on_how_agents_are_woken(delivery: dict[str, Any], state: str, text: str) -> None:
    (finding,) = journeys.way_to_agents(delivery)
    assert finding.state == state
    assert text in finding.text
    assert bool(finding.fix) == (state != "ok")


def test_routes_whose_template_reads_like_an_instruction_are_pointed_at() -> None:
    why = "its template holds words that look like an instruction"
    delivery = {"way": "plugin", "instructionNotes": [{"route": "a mail", "problem": why}]}
    *_, finding = journeys.way_to_agents(delivery)
    assert (finding.state, finding.check) == ("note", "instructions")
    assert finding.text == f"route 'a mail': {why}"
    assert finding.fix == "Run `openclaw-nats routes edit 'a mail' --instruction '…'`."


def test_routes_that_wake_without_a_guard_are_listed() -> None:
    def route(name: str, guard: str, kind: str = "session", *, enabled: bool = True) -> dict[str, Any]:
        return {"name": name, "guard": guard, "enabled": enabled, "resolvedTarget": {"kind": kind}}

    rest = [route("hook", "off", "webhook"), route("held", "off", enabled=False), route("new", "ask")]
    assert list(journeys.unguarded(rest)) == []
    (finding,) = journeys.unguarded([*rest, route("an old one", "off"), route("other", "off", "agent")])
    assert finding.state == "note"
    assert "2 routes: an old one, other" in finding.text
    assert "routes edit 'an old one' --guard ask" in finding.fix


def test_with_the_gateway_down_no_test_event_is_asked_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The plugin counts as connected for a while after its Gateway was stopped."""
    health = {
        "status": "down",
        "nats": {"notes": [], "lastError": "", "version": ""},
        "sidecar": {"lastError": "", "version": __version__, "since": "2026-01-01T00:00:00Z"},
        "gateway": {"reachable": False},
        "plugin": {"reachable": True, "version": "1", "spool": {}},
    }
    asked: list[str] = []

    def call(method: str, path: str, body: Any) -> Any:
        asked.append(path)
        return health

    for name in ("_machine",):
        monkeypatch.setattr(examine, name, lambda settings: iter(()))
    for module, name in (
        (machine, "service"), (machine, "ports"), (nats_side, "nats"), (openclaw_side, "openclaw"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, lambda settings: iter(()))
    found = list(examine.examine(load(tmp_path, {}), call, lambda subject: []))
    assert asked == ["/api/health"]
    assert any(one.check == "event out" and "not tried" in one.text for one in found)


def test_a_check_that_hangs_is_a_finding_with_its_name() -> None:
    waited: list[str] = []
    never = threading.Event()

    def look() -> Iterator[Finding]:
        yield ok("nats", "one thing")
        never.wait(60)

    began = time.monotonic()
    found = list(Check("nats", "NATS at nats://127.0.0.1:4222", look, seconds=2.5).findings(waited.append))
    assert time.monotonic() - began < 10
    assert [(one.check, one.state) for one in found] == [("nats", "ok"), ("nats", "problem")]
    assert "NATS at nats://127.0.0.1:4222 did not answer within" in found[1].text
    assert waited, "a second of silence is filled"
    never.set()


def test_an_error_of_the_disk_is_a_finding_and_a_mistake_of_ours_is_not() -> None:
    def full() -> Iterator[Finding]:
        raise OSError(28, "No space left on device", "/x/y")
        yield ok("files", "never")

    def wrong() -> Iterator[Finding]:
        raise KeyError("sidecar")
        yield ok("files", "never")

    [finding] = Check("files", "this machine", full).findings(lambda what: None)
    assert (finding.state, finding.text) == ("problem", "/x/y: No space left on device")
    with pytest.raises(KeyError):
        list(Check("files", "this machine", wrong).findings(lambda what: None))


def test_what_does_not_return_has_an_answer_after_its_time() -> None:
    never = threading.Event()
    assert bounded(lambda: never.wait(60), None, 0.2) is None
    assert bounded(lambda: "yes", "", 5.0) == "yes"
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 / 0, 0.0, 5.0)
    never.set()


def test_dead_letters_a_dead_target_and_refused_events_are_problems(tmp_path: Path) -> None:
    delivery = {"way": "plugin", "counts": {"dead": 20}, "openBreakers": [{"target": "webhook x", "lastError": "500"}]}
    found = list(journeys.way_to_agents(delivery))
    assert [one.state for one in found] == ["ok", "problem", "problem"]
    assert "20 dead letters" in found[2].text
    assert list(machine.rejected(load(tmp_path, {}))) == []
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "rejected.ndjson").write_text("{}\n{}\n")
    [refused] = machine.rejected(load(tmp_path, {}))
    assert (refused.state, refused.text.startswith("2 events were refused")) == ("problem", True)


def test_a_listener_that_says_nothing_may_be_ours_that_is_stopped(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        environment = {
            "OPENCLAW_NATS_SIDECAR_PORT": str(port),
            "NATS_SIDECAR_URL": url,
            "OPENCLAW_NATS_NATS_MANAGED": "false",
        }
        [finding] = machine.ports(load(tmp_path, environment))
    assert finding.state == "problem"
    assert "within 3 s: sidecar is stopped, or another program listens" in finding.text
