"""A backup that is made while everything works, and what comes back of it after everything else is gone."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.approvals import SESSION, hand_over, reported
from tests.support.archives import unpack
from tests.support.browser import Visitor, sign_in_code
from tests.support.installation import Installation
from tests.support.processes import NatsServer, Sidecar, event, wait_until


def fill(bus: Sidecar) -> None:
    """Something of everything."""
    republish = {"kind": "subject", "subject": "agent.events.custom.copied"}
    bus.post_events([event(f"before-{n}", "agent.events.custom.copy") for n in range(5)])  # no route takes these
    bus.call("POST", "/api/routes", {"name": "copies", "pattern": "agent.events.custom.copy", "target": republish})
    held = {"name": "held", "pattern": "agent.events.custom.held", "target": "main", "flow": {"debounce": "10h"}}
    bus.call("POST", "/api/routes", held)
    away = {"kind": "webhook", "url": "http://127.0.0.1:1/"}
    bus.call(
        "POST",
        "/api/routes",
        {"name": "dies", "pattern": "agent.events.custom.die", "target": away, "retry": {"attempts": 1}},
    )
    bus.call("POST", "/api/cron", {"name": "daily", "cron": "@daily"})
    bus.call("POST", "/api/timers", {"name": "later", "delay": "9h"})
    names = [(name, n) for n in range(20) for name in ("copy", "held", "die") if name != "die" or n < 2]
    bus.post_events([event(f"{name}-{n}", f"agent.events.custom.{name}") for name, n in names])
    wait_until(lambda: states(bus)["delivered"] == 20 and states(bus)["dead"] == 2, 60, "the deliveries")


def states(bus: Sidecar) -> dict[str, int]:
    """Deliveries by state."""
    return dict(bus.get("/api/health")[1]["delivery"]["counts"])


def test_everything_comes_back_after_everything_is_gone(house: Installation, tmp_path: Path) -> None:
    bus = house.sidecar
    fill(bus)
    visitor = Visitor(f"{bus.url}/dashboard")
    visitor.sign_in(sign_in_code(bus))
    ending = threading.Event()

    def work() -> None:
        number = 0
        while not ending.is_set():
            bus.post_events([event(f"during-{number}", "agent.events.custom.copy")])
            number += 1

    worker = threading.Thread(target=work)
    worker.start()
    file = tmp_path / "backup.tar.gz"
    answer = house.run("backup", str(file))
    ending.set()
    worker.join()
    assert answer["bytes"] == file.stat().st_size > 1000
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".openclaw-nats*"))
    house.stop()
    shutil.rmtree(house.home)
    house.run("restore", str(file), "--yes")
    house.start()
    bus = house.sidecar
    ids = [one["id"] for one in bus.events()]
    assert {f"id-copy-{n}" for n in range(20)} <= set(ids)
    assert {one["name"] for one in bus.get("/api/routes")[1]["routes"]} == {"copies", "held", "dies"}
    assert [one["name"] for one in bus.get("/api/cron")[1]["jobs"]] == ["daily"]
    assert [one["name"] for one in bus.get("/api/timers")[1]["timers"]] == ["later"]
    assert visitor.call("GET", "/api/session")[0] == 200
    # each event for each route once: what was delivered stays delivered, and what came before a route is not for it
    wait_until(lambda: states(bus)["pending"] == 20 and not states(bus)["sending"], 30, "the waiting deliveries")
    copied = [one["id"] for one in bus.events("?subject=agent.events.custom.copied")]
    assert len(copied) == len(set(copied))
    assert not [one for one in copied if "before" in one]
    taken = bus.get("/api/deliveries?search=id-copy-&limit=1000")[1]
    assert taken["total"] == 20
    assert bus.get("/api/dead")[1]["total"] == 2
    # and it goes on
    bus.post_events([event("after", "agent.events.custom.copy")])
    wait_until(lambda: bus.get("/api/deliveries?event=id-after&state=delivered")[1]["total"] == 1, 30, "the new one")


def test_what_is_there_is_moved_aside_and_not_deleted(house: Installation, tmp_path: Path) -> None:
    house.sidecar.post_events([event("old")])
    file = tmp_path / "backup.tar.gz"
    house.run("backup", str(file))
    house.sidecar.post_events([event("new")])
    house.stop()
    spool = house.home / "spool"
    spool.mkdir()
    (spool / "waiting.ndjson").write_text("{}\n")
    folder = spool.stat().st_ino
    answer = house.run("restore", str(file), "--yes")
    aside = Path(answer["before"])
    assert spool.stat().st_ino == folder  # a Gateway that runs has it open, and what waits there is in no backup
    assert (spool / "waiting.ndjson").exists()
    assert not (aside / "spool").exists()
    assert (aside / "sidecar.db").exists()
    assert (aside / "jetstream").is_dir()
    house.start()
    assert [one["id"] for one in house.sidecar.events()] == ["id-old"]


def test_what_was_approved_before_a_backup_does_not_run_by_it_after_the_restore(
    house: Installation, tmp_path: Path
) -> None:
    """Its turn waits for the Gateway, in the backup, too; it may have run since: the marks of that are the plugin's."""
    bus = house.sidecar
    route = {"name": "mail", "pattern": "agent.events.custom.mail", "target": SESSION, "guard": "ask"}
    bus.call("POST", "/api/routes", route)
    for _ in range(2):
        assert hand_over(bus, reported())["accepted"] == 1
    approved, waiting = (one["id"] for one in bus.call("GET", "/api/approvals")[1]["approvals"])
    assert bus.call("POST", f"/api/approvals/{approved}/approve", {})[0] == 200
    assert bus.call("GET", f"/api/approvals/{approved}")[1]["use"] == "waiting"
    file = tmp_path / "backup.tar.gz"
    house.run("backup", str(file))
    house.stop()
    (house.home / "grants").mkdir()
    (house.home / "grants" / "0123456789").write_text("claimed")
    house.run("restore", str(file), "--yes")
    assert (house.home / "grants" / "0123456789").exists()
    house.start()
    found = bus.call("GET", f"/api/approvals/{approved}")[1]
    assert (found["state"], found["use"]) == ("approved", "begun")
    assert "may have run since" in found["problem"]
    assert bus.call("GET", f"/api/approvals/{waiting}")[1]["state"] == "pending"
    with closing(sqlite3.connect(house.home / "sidecar.db")) as db:
        assert [row[0] for row in db.execute("SELECT state FROM dispatches")] == ["dropped"]


def test_a_backup_that_is_damaged_cut_off_or_from_the_future_changes_nothing(
    house: Installation, tmp_path: Path
) -> None:
    house.sidecar.post_events([event("old")])
    file = tmp_path / "backup.tar.gz"
    house.run("backup", str(file))
    assert "exists already" in house.run("backup", str(file), code=1)["error"]
    assert "no directory" in house.run("backup", str(tmp_path / "none" / "x"), code=1)["error"]
    house.stop()
    before = {path.name for path in house.home.iterdir()}
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"rubbish" * 1000)
    for wrong in (cut, rubbish, tmp_path / "missing"):
        assert house.run("restore", str(wrong), "--yes", code=2)["error"]
    changed = repack(
        file, tmp_path, lambda folder: (folder / "config.toml").write_bytes(same_size(folder / "config.toml"))
    )
    assert "config.toml does not match its hash" in house.run("restore", str(changed), "--yes", code=2)["error"]

    def age(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "sidecar.db")) as db, db:
            db.execute("PRAGMA user_version = 999")

    future = repack(file, tmp_path, age, right=True)
    assert "newer openclaw-nats" in house.run("restore", str(future), "--yes", code=2)["error"]
    assert {path.name for path in house.home.iterdir()} == before


def same_size(path: Path) -> bytes:
    return b"#!" + path.read_bytes()[2:]


def repack(file: Path, folder: Path, change: Any, *, right: bool = False, part: str = "sidecar.db") -> Path:
    """The backup with something changed; with `right` its hashes say so."""
    import hashlib

    place = folder / f"repack-{right}"
    with tarfile.open(file) as archive:
        unpack(archive, place)
    change(place)
    manifest = json.loads((place / "manifest.json").read_text())
    if right:
        manifest["hashes"][part] = hashlib.sha256((place / part).read_bytes()).hexdigest()
        manifest["sizes"][part] = (place / part).stat().st_size
        (place / "manifest.json").write_text(json.dumps(manifest))
    target = folder / f"changed-{right}.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        archive.add(place / "manifest.json", "manifest.json")
        for path in sorted(place.iterdir()):
            if path.name != "manifest.json":
                archive.add(path, path.name)
    return target


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root or user namespaces")
def test_a_full_disk_under_a_backup_is_named_and_nothing_stays_there(house: Installation, tmp_path: Path) -> None:
    filled = [event(f"full-{n}", "agent.events.custom.full") | {"data": os.urandom(2000).hex()} for n in range(500)]
    house.sidecar.post_events(filled)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(disk)], check=True)
    try:
        for size in ("500k", "2500k"):  # too small for the stream; for its parts and the archive of them
            subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
            refused = house.run("backup", str(disk / "backup"), code=1)
            assert "No space left on device" in refused["error"]
            assert "on another disk" in refused["hint"]
            assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    house.run("backup", str(tmp_path / "backup"))


def test_without_nats_nothing_is_written(house: Installation, tmp_path: Path) -> None:
    house.stop()
    assert house.run("backup", str(tmp_path / "none.tar.gz"), code=3)["error"]
    assert list(tmp_path.glob("*none*")) == []


def test_a_nats_that_has_the_streams_already_keeps_them_and_everything_is_as_before(
    tmp_path: Path, nats: NatsServer
) -> None:
    one = Sidecar(tmp_path / "state", nats)
    one.start()
    one.post_events([event("old")])
    file = tmp_path / "backup.tar.gz"

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        return command(one, *words, code=code)

    run("config", "set", "nats.managed", "false")
    run("backup", str(file))
    one.post_events([event("new")])
    one.kill()
    (one.home / "spool").mkdir()
    before = {path.name: path.stat().st_ino for path in one.home.iterdir()}
    error = run("restore", str(file), "--yes", code=1)
    assert "agent_schedules and agent_dlq and agent_events already" in error["error"]
    assert "nats stream rm" in error["hint"]
    assert {path.name: path.stat().st_ino for path in one.home.iterdir()} == before
    assert not list(one.home.parent.glob("*.before-restore-*"))
    for stream in ("agent_events", "agent_dlq", "agent_schedules"):
        jetstream.api(nats, f"STREAM.DELETE.{stream}")
    assert Path(run("restore", str(file), "--yes")["before"]).is_dir()
    one.start()
    assert [found["id"] for found in one.events()] == ["id-old"]
    one.close()


def command(bus: Sidecar, *words: str, code: int = 0) -> dict[str, Any]:
    """What a command says, as JSON."""
    line = [sys.executable, "-m", "openclaw_nats", *words, "--json"]
    done = subprocess.run(line, env=bus.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def origins(bus: Sidecar, subject: str = "agent.events.custom.>") -> dict[str, tuple[str, bool]]:
    """Who said each event, by its subject."""
    lines = bus.request("GET", f"/api/events?numbered=true&subject={subject}")[2].splitlines()
    found = [json.loads(line) for line in lines if line.strip()]
    return {one["event"]["subject"]: (one["origin"], one["tainted"]) for one in found}


def test_events_come_back_as_said_by_whom_they_were_said_by(tmp_path: Path, nats: NatsServer) -> None:
    """The key of the seals is in the backup, so that they hold; what had none comes back as anybody's."""
    bus = Sidecar(tmp_path / "state", nats)
    bus.start()
    command(bus, "config", "set", "nats.managed", "false")
    for agent, tainted in (("main", False), ("ops", True)):
        caller = {"agentId": agent, "sessionKey": f"agent:{agent}:main", "tainted": tainted}
        body = {"caller": caller, "parameters": {"subject": f"agent.events.custom.{agent}"}}
        assert bus.call("POST", "/api/tools/nats_publish", body)[0] == 200
    assert bus.publish("agent.events.custom.mine", {})[0] == 200
    jetstream.publish(nats, "agent.events.custom.plain", b'{"n":1}')
    before = origins(bus)
    wanted = {"main": ("agent:main", False), "ops": ("agent:ops", True), "mine": ("operator", False)}
    assert {name.rpartition(".")[2]: said for name, said in before.items()} == wanted | {"plain": ("outside", True)}
    file = tmp_path / "backup.tar.gz"
    command(bus, "backup", str(file))
    bus.kill()
    for stream in ("agent_events", "agent_dlq", "agent_schedules"):
        jetstream.api(nats, f"STREAM.DELETE.{stream}")
    command(bus, "restore", str(file), "--yes")
    bus.start()
    assert origins(bus) == before
    jetstream.publish(nats, "agent.events.tool.exec.failed", b'{"n":2}')
    assert origins(bus, "agent.events.tool.>") == {"agent.events.tool.exec.failed": ("outside", True)}
    bus.close()
