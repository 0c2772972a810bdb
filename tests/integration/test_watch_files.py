"""A watched folder: each file's creation, change and end is one event, whatever is killed meanwhile."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import NatsServer, Sidecar, kill_and_restart, wait_until
from tests.support.watching import awaited, runs, stored, watch

QUICK = {"settle": "300ms", "every": "2s"}


def told(sidecar: Sidecar, name: str) -> list[tuple[str, str]]:
    """(what happened, to which path) of a watcher's events."""
    return [(one["subject"].rpartition(".")[2], one["data"]["path"]) for one in stored(sidecar, name)]


def test_what_happens_in_a_folder_is_told_once_and_what_was_there_before_is_not(bus: Sidecar, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    watch(bus, "box", "files", path=str(tmp_path), **QUICK)
    (tmp_path / "new.txt").write_text("new")
    awaited(bus, "box", 1)
    (tmp_path / "old.txt").write_text("changed")
    awaited(bus, "box", 2)
    (tmp_path / "new.txt").unlink()
    events = awaited(bus, "box", 3)
    assert told(bus, "box") == [("created", "new.txt"), ("changed", "old.txt"), ("deleted", "new.txt")]
    created, changed, deleted = events
    assert created["subject"] == "agent.events.watch.box.created"
    assert created["type"] == "watch.files.created"
    assert (created["data"]["bytes"], changed["data"]["bytes"], "bytes" in deleted["data"]) == (3, 7, False)
    assert created["data"]["folder"] == str(tmp_path)
    origins = bus.request("GET", "/api/events?subject=agent.events.watch.box.%3E&numbered=true")[2]
    assert origins.count(b'"source:box"') >= 3
    shown = bus.get("/api/sources/box")[1]
    assert (shown["path"], shown["gatewayPath"], shown["accepted"]) == ("", "", 3)
    assert bus.request("POST", "/in/box/" + "-" * 32, b"{}", key="")[0] == 401
    assert bus.metric('openclaw_nats_watcher_up{source="box"}') == 1


def test_a_file_that_is_being_written_is_one_event_when_it_has_settled(bus: Sidecar, tmp_path: Path) -> None:
    watch(bus, "slow", "files", path=str(tmp_path), settle="1s", every="1s")
    with (tmp_path / "large.bin").open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"x" * 1000)
            time.sleep(0.2)
    (event,) = awaited(bus, "slow", 1)
    assert event["data"]["bytes"] == 10_000
    for _ in range(3):  # as editors save: a new file takes the place of the old one
        (tmp_path / "large.bin").unlink()
        (tmp_path / "large.new").write_text("y")
        (tmp_path / "large.new").rename(tmp_path / "large.bin")
    awaited(bus, "slow", 2)
    time.sleep(2.5)
    assert told(bus, "slow") == [("created", "large.bin"), ("changed", "large.bin")]


def test_patterns_folders_below_links_and_names_that_are_no_text(bus: Sidecar, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "outside.pdf").write_text("x")
    root = tmp_path / "in"
    watch(bus, "pdfs", "files", path=str(root), pattern="*.pdf", recursive=True, **QUICK)
    (root / "a.txt").write_text("x")
    (root / "link.pdf").symlink_to(tmp_path / "outside.pdf")
    (root / "loop").symlink_to(root)
    (root / "deep" / "b.pdf").write_text("x")
    Path(os.fsdecode(os.fsencode(root) + b"/h\xffalf.pdf")).write_text("x")
    (root / "new" / "folder").mkdir(parents=True)
    (root / "new" / "folder" / "c.pdf").write_text("x")
    awaited(bus, "pdfs", 3)
    time.sleep(1)
    assert sorted(told(bus, "pdfs")) == sorted(
        [("created", "deep/b.pdf"), ("created", "h\ufffdalf.pdf"), ("created", "new/folder/c.pdf")]
    )
    watch(bus, "shallow", "files", path=str(root), pattern="deep/*", recursive=True, fromBeginning=True, **QUICK)
    awaited(bus, "shallow", 1)
    assert told(bus, "shallow") == [("created", "deep/b.pdf")]
    assert "3 files" in bus.call("POST", "/api/sources/pdfs/test")[1]["sees"]


def test_a_folder_that_goes_is_a_failure_with_its_reason_and_no_end_of_its_files(bus: Sidecar, tmp_path: Path) -> None:
    folder = tmp_path / "usb"
    folder.mkdir()
    (folder / "a").write_text("a")
    watch(bus, "usb", "files", path=str(folder), **QUICK)
    folder.rename(tmp_path / "away")
    state = runs(bus, "usb", "failing")
    assert "can't be read: no such file" in state["reason"].lower()
    assert state["nextTry"] > state["since"]
    notes = bus.get("/api/health")[1]["delivery"]["notes"]
    assert [one for one in notes if one.startswith("the watcher usb (files) has been failing since")]
    assert bus.metric('openclaw_nats_watcher_up{source="usb"}') == 0
    (tmp_path / "away" / "b").write_text("b")
    (tmp_path / "away").rename(folder)
    awaited(bus, "usb", 1)
    assert told(bus, "usb") == [("created", "b")]
    runs(bus, "usb")
    assert not [one for one in bus.get("/api/health")[1]["delivery"]["notes"] if "usb" in one]


def test_our_own_folder_is_not_watched(bus: Sidecar, tmp_path: Path) -> None:
    body = {"name": "own", "type": "files", "options": {"files": {"path": str(bus.home)}}}
    assert bus.call("POST", "/api/sources", body)[0] == 201
    assert "state directory" in runs(bus, "own", "failing")["reason"]
    watch(bus, "around", "files", path=str(bus.state), recursive=True, **QUICK)
    (bus.state / "mine").write_text("x")
    awaited(bus, "around", 1)
    time.sleep(1.5)
    assert told(bus, "around") == [("created", "mine")]
    assert bus.call("DELETE", "/api/sources/own")[0] == 204


def test_paused_or_removed_it_tells_nothing_and_after_a_pause_what_happened_meanwhile(
    bus: Sidecar, tmp_path: Path
) -> None:
    watch(bus, "rest", "files", path=str(tmp_path), **QUICK)
    bus.call("PATCH", "/api/sources/rest", {"paused": True})
    assert runs(bus, "rest", "paused") == {"state": "paused"}
    (tmp_path / "a").write_text("a")
    time.sleep(1.5)
    assert told(bus, "rest") == []
    bus.call("PATCH", "/api/sources/rest", {"paused": False})
    awaited(bus, "rest", 1)
    assert bus.call("DELETE", "/api/sources/rest")[0] == 204
    (tmp_path / "b").write_text("b")
    watch(bus, "rest", "files", path=str(tmp_path), **QUICK)  # another one of its name begins from now
    (tmp_path / "c").write_text("c")
    awaited(bus, "rest", 2)
    time.sleep(1)
    assert told(bus, "rest") == [("created", "a"), ("created", "c")]


def test_nothing_is_lost_or_told_twice_when_sidecar_and_nats_are_killed(
    sidecar: Sidecar, nats: NatsServer, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = [f"f{number:03}" for number in range(400)]
    watch(sidecar, "chaos", "files", path=str(folder), settle="200ms", every="2s")

    def write() -> None:
        for name in names:
            (folder / name).write_text(name)
            time.sleep(0.03)

    writing = threading.Thread(target=write)
    writing.start()
    kill_and_restart([sidecar, nats, sidecar, sidecar, nats, sidecar], random.Random(7), (0.4, 1.6))
    writing.join()
    sidecar.wait_up()
    awaited(sidecar, "chaos", len(names), "created", 60)
    gone = names[::2]
    for name in gone:
        (folder / name).unlink()
    kill_and_restart([sidecar, sidecar], random.Random(8), (0.2, 0.6))
    sidecar.wait_up()
    awaited(sidecar, "chaos", len(gone), "deleted", 60)
    time.sleep(2)
    counts = Counter(told(sidecar, "chaos"))
    assert {path for event, path in counts if event == "created"} == set(names)
    assert {path for event, path in counts if event == "deleted"} == set(gone)
    # One that a kill has met half written is created empty, and changed then: each state once.
    assert {event: count for event, count in counts.items() if count > 1} == {}
    assert len({event["id"] for event in stored(sidecar, "chaos")}) == len(stored(sidecar, "chaos"))


@pytest.mark.parametrize("window", ["2s", "2m"])
def test_an_event_that_was_stored_when_the_kill_came_is_not_stored_again(tmp_path: Path, window: str) -> None:
    """The moment between the stream's acknowledgement and our note of it, within the window and behind it."""
    nats = NatsServer(tmp_path / "nats-server")
    nats.start()
    one = Sidecar(tmp_path / "state", nats, f'[stream]\nduplicate_window = "{window}"\n')
    one.start()
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        watch(one, "edge", "files", path=str(folder), **QUICK)
        (folder / "a").write_text("a")
        (event,) = awaited(one, "edge", 1)
        one.kill()
        thing, _, number = event["id"].removeprefix("edge:").rpartition("-")
        written = time.time() - 3
        with sqlite3.connect(one.home / "sidecar.db") as db:
            assert db.execute("SELECT count(*) FROM watch_events").fetchone() == (0,)
            row = (int(number), "edge", "created", thing, event["subject"], event["type"], b'{"path": "a"}', written)
            db.execute("INSERT INTO watch_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        time.sleep(2.5)
        one.start()
        (folder / "b").write_text("b")
        awaited(one, "edge", 2)
        assert told(one, "edge") == [("created", "a"), ("created", "b")]
        with sqlite3.connect(one.home / "sidecar.db") as db:
            wait_until(lambda: db.execute("SELECT count(*) FROM watch_events").fetchone() == (0,), 10, "no rest")
    finally:
        one.close()
        nats.close()


def test_what_was_seen_while_nats_is_away_is_stored_when_it_is_back_also_after_a_kill(
    sidecar: Sidecar, nats: NatsServer, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    watch(sidecar, "away", "files", path=str(folder), **QUICK)
    nats.kill()
    (folder / "a").write_text("a")
    reason = runs(sidecar, "away", "failing")["reason"]
    assert "can't be stored" in reason
    sidecar.kill()
    (folder / "a").unlink()  # gone before anybody could tell of it: it was seen all the same
    sidecar.start(wait=False)
    nats.start()
    sidecar.wait_up()
    awaited(sidecar, "away", 2)
    assert told(sidecar, "away") == [("created", "a"), ("deleted", "a")]
