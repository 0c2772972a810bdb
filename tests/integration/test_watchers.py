"""Watchers as the operator has them: the commands of docs/how-to/watch.md, files of them, errors, what is missing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_nats.contract.sources import MailOptions
from openclaw_nats.sources.watched import WATCHED
from tests.support.installation import Installation
from tests.support.processes import Sidecar, wait_until
from tests.support.watching import awaited, runs
from tests.support.web import Web

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "how-to" / "watch.md").read_text()


def test_the_page_names_every_type_option_and_field() -> None:
    rows = {one.split("|")[1].strip(): one for one in PAGE.splitlines() if one.startswith("| `")}
    for kind, known in WATCHED.items():
        row = next(text for name, text in rows.items() if name.startswith(f"`{kind}`"))
        for field in msgspec.structs.fields(known.options):
            flag = "--" + field.name.replace("_", "-")
            assert flag in row or (flag == "--from-beginning" and flag in PAGE), (kind, flag)
            if isinstance(field.default, str | int) and field.default and not isinstance(field.default, bool):
                assert f"{flag} {field.default}" in row, (kind, flag)
    assert f"--port {MailOptions(host='x', user='x').port}" in PAGE


def test_the_commands_of_the_page(house: Installation, tmp_path: Path) -> None:
    web = Web()
    web.put("/state", b'{"door": {"state": "shut"}}')
    web.put("/feed.xml", b"<rss version='2.0'><channel><title>News</title></channel></rss>")
    web.put("/me.ics", b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n")
    (house.state / "Invoices").mkdir()
    (tmp_path / "mail.password").write_text("a-password\n")
    block = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)[1]
    commands = [shlex.split(one, comments=True)[1:] for one in block.splitlines()]
    try:
        for words in commands:
            given = [
                one.replace("http://127.0.0.1:8123", web.url)
                .replace("https://example.org", web.url)
                .replace("imap.example.org", "127.0.0.1")
                .replace("mail.password", str(tmp_path / "mail.password"))
                for one in words
            ]
            given = [str(house.state / one[2:]) if one.startswith("~/") else one for one in given]
            house.run(*given)
        found = {one["name"]: one for one in house.run("sources")["sources"]}
        assert set(found) == {"invoices", "door", "disks", "news", "meetings", "inbox"}
        assert found["inbox"]["options"] == {"mail": {"host": "127.0.0.1", "user": "me@example.org"}}
        assert {one["subject"] for one in found.values()} == {f"agent.events.watch.{name}" for name in found}
        for name in ("invoices", "door", "disks", "news", "meetings"):
            runs(house.sidecar, name)
        (house.state / "Invoices" / "a.pdf").write_text("x")
        awaited(house.sidecar, "invoices", 1)
        waiting = wait_until(lambda: house.run("pending")["deliveries"], 20, "the delivery")
        assert house.run("pending", "show", str(waiting[0]["id"]))["origin"] == "source:invoices"
        tested = house.run("sources", "test", "invoices")
        assert (tested["sees"], tested["routes"]) == ("1 file; the newest is a.pdf", [])
        assert '$.door.state is "shut"' in house.run("sources", "test", "door")["sees"]
        assert house.run("sources", "show", "disks")["watching"] == {"state": "running"}
        assert "refused" in house.run("sources", "show", "inbox")["watching"]["reason"]
        text = subprocess.run(
            [sys.executable, "-m", "openclaw_nats", "sources", "show", "inbox"],
            env=house.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        assert re.search(r"State: +failing\n +since .*refused", text, re.DOTALL)
        assert "Address" not in text
        assert "the watcher inbox (mail) has been failing since" in json.dumps(house.sidecar.get("/api/health"))
        assert house.run("sources", "pause", "door")["watching"] == {"state": "paused"}
        assert house.run("sources", "resume", "door")["name"] == "door"
        assert house.run("sources", "remove", "inbox") == {"removed": "inbox"}
        assert "watches" in house.run("sources", "rotate", "news", "--address", code=2)["error"]
        acts = [one["act"] for one in house.run("audit")["records"]]
        assert {"sources.add", "sources.change", "sources.remove"} <= set(acts)
        assert "a-password" not in json.dumps(house.run("audit"))
    finally:
        web.close()


def test_the_file_of_the_page_makes_and_changes_them(house: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "Invoices"
    folder.mkdir()
    (tmp_path / "mail.password").write_text("a-password\n")
    file = tmp_path / "sources.toml"
    text = PAGE.partition("```toml\n")[2].partition("```")[0].replace("/home/me/Invoices", str(folder))
    file.write_text(text)
    first = house.run("sources", "apply", "-f", str(file))
    assert [(one["change"], one["source"]) for one in first["changes"]] == [
        ("add", "invoices"),
        ("add", "disks"),
        ("add", "inbox"),
    ]
    assert house.run("sources", "apply", "-f", str(file))["changes"] == []
    runs(house.sidecar, "invoices")
    (folder / "a.txt").write_text("x")
    file.write_text(text.replace("*.pdf", "*.txt"))
    assert house.run("sources", "apply", "-f", str(file))["changes"] == [
        {"change": "change", "source": "invoices", "detail": "options"}
    ]
    runs(house.sidecar, "invoices")
    (folder / "b.txt").write_text("x")  # with other options it begins from now
    awaited(house.sidecar, "invoices", 1)
    file.write_text(text.replace("recursive = true", "recursive = 1"))
    assert "recursive" in house.run("sources", "apply", "-f", str(file), code=2)["error"]
    house.stop()
    house.start()  # all are there again
    assert len(house.run("sources")["sources"]) == 3
    runs(house.sidecar, "disks")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("a --type files", "needs --path"),
        ("a --type files --path /no/such/folder", "--path"),
        ("a --type files --path / --every 10ms", "--every"),
        ("a --type files --path / --settle long", "--settle"),
        ("a --type files --path / --url https://x", "--url is not for type files"),
        ("a --type http", "needs --url"),
        ("a --type http --url ftp://x", "--url"),
        ("a --type http --url https://x --json-path a[", "--json-path"),
        ("a --type http --url https://x --recursive", "--recursive is not for type http"),
        ("a --type command --command 'a", "--command can't be split into words"),
        ("a --type command --command nosuchprogram", "--command"),
        ("a --type calendar", "--url"),
        ("a --type calendar --path /no/such/file", "--path"),
        ("a --type mail --host x", "needs --user"),
        ("a --type mail --host x --user y", "--password-file"),
        ("a --type mail --host x --user y --port much --password-file {file}", "--port"),
        ("a --type mail --host x --user y --tls none --password-file {file}", "--tls"),
        ("a --type github --path /", "--path is not for type github"),
    ],
)
def test_what_can_not_be_watched_is_said_by_its_flag(bus: Sidecar, tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "password").write_text("x")
    words = words.format(file=tmp_path / "password")
    arguments = words.split(maxsplit=4) if "'" in words else words.split()
    done = bus.command("sources", "add", *arguments, "--json")
    assert (done.returncode, said in json.loads(done.stdout)["error"]) == (2, True), done.stdout + done.stderr


def test_what_is_not_installed_is_named_with_what_to_install(bus: Sidecar, tmp_path: Path) -> None:
    """Another sidecar, in whose Python the optional packages can't be imported."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    names = ("watchfiles", "feedparser", "icalendar", "recurring_ical_events", "imap_tools")
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        f"u.find_spec = lambda name, *more: None if name in {names!r} else find(name, *more)\n"
    )
    file = bus.home / "sources.json"
    body = {"name": "kept", "type": "files", "options": {"files": {"path": str(tmp_path)}}}
    assert bus.call("POST", "/api/sources", body)[0] == 201
    before = bus.environment.get("PYTHONPATH", "")
    bus.close()
    bus.environment["PYTHONPATH"] = f"{hidden}:{before}"
    try:
        bus.start()
        wanted = "pip install 'openclaw-nats[sources]'"
        assert wanted in runs(bus, "kept", "failing")["reason"]
        assert [one for one in bus.get("/api/health")[1]["delivery"]["notes"] if wanted in one]
        options: dict[str, dict[str, Any]] = {
            "files": {"path": str(tmp_path)},
            "feed": {"url": "https://example.org"},
            "calendar": {"url": "https://example.org"},
            "mail": {"host": "example.org", "user": "me"},
        }
        for kind, one in options.items():
            secret = "x" if kind == "mail" else ""
            made = {"name": f"no-{kind}", "type": kind, "secret": secret, "options": {kind: one}}
            status, answer = bus.call("POST", "/api/sources", made)
            assert (status, answer["detail"].endswith(wanted), "\n" in answer["detail"]) == (400, True, False), kind
        missing = {one["type"]: one.get("missing", "") for one in bus.get("/api/source-types")[1]["types"]}
        assert [kind for kind, why in missing.items() if wanted in why] == ["files", "feed", "calendar", "mail"]
        assert "kept" in file.read_text()
    finally:
        bus.close()
        bus.environment["PYTHONPATH"] = before
        bus.start()
    runs(bus, "kept")
