"""The plugin in OpenClaws of several kinds: what each can do is read from its help, never from an error's words."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from openclaw_nats.errors import SetupError
from openclaw_nats.installer import gateway_plugin
from openclaw_nats.installer.openclaw import PLUGIN_ID, CommandFailed, OpenClaw
from openclaw_nats.plugin_files import plugin_dir

# An `openclaw` that logs its calls, copies the plugin on install, and fails where it is told to, in its own words.
_FAKE = """#!/bin/sh
here={here}
echo "$*" >> "$here/calls"
case "$*" in
  "plugins install --help") printf 'Usage: x\\n\\nOptions:\\n{options}\\n'; exit 0;;
  "plugins reload --help") printf 'Options:\\n{options}\\n'; exit 0;;
  "plugins --help") printf 'Commands:\\n  install  Install\\n           reload it after\\n{commands}\\n'; exit 0;;
  "plugins install"*) [ -e "$here/refuse" ] || cp -r "$3" "$here/extensions/{plugin}";;
  "plugins uninstall"*) [ -e "$here/refuse" ] || rm -rf "$here/extensions/{plugin}";;
esac
[ ! -e "$here/fail" ] || {{ cat "$here/fail" >&2; exit 1; }}
"""
OLD, MIDDLE, NEW = (), ("--force",), ("--force", "--accept-capabilities")


class Fake:
    """One made-up installation."""

    def __init__(self, folder: Path, options: tuple[str, ...], *, reload: bool) -> None:
        self.folder = folder
        (folder / "extensions").mkdir()
        listed = "\\n".join(f"  {option}   what it does" for option in (*options, "-h, --help"))
        script = folder / "openclaw"
        commands = "  reload   Reload" if reload else "  uninstall   Uninstall"
        script.write_text(_FAKE.format(here=f"'{folder}'", options=listed, commands=commands, plugin=PLUGIN_ID))
        script.chmod(0o755)
        self.openclaw = OpenClaw(str(script), folder, folder / "openclaw.json")

    def fail(self, words: str, *, refuse: bool = False) -> None:
        """From now on commands end with an error; with `refuse` they do nothing before."""
        (self.folder / "fail").write_text(words)
        if refuse:
            (self.folder / "refuse").touch()

    def gateway(self, port: int) -> None:
        """OpenClaw's configuration says that the Gateway is on this port."""
        config = {"gateway": {"port": port}, "plugins": {"entries": {}}}
        (self.folder / "openclaw.json").write_text(json.dumps(config))

    def calls(self, beginning: str) -> list[str]:
        """The commands that began so, without questions for help."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(beginning) and "--help" not in line]


@pytest.fixture
def gateway_port() -> Iterator[int]:
    """Something that answers as a Gateway does."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_plugin, "_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize("options", [OLD, MIDDLE, NEW])
def test_install_uses_what_the_version_knows(tmp_path: Path, options: tuple[str, ...]) -> None:
    fake = Fake(tmp_path, options, reload=False)
    assert gateway_plugin.install(fake.openclaw, plugin_dir()) is True
    (call,) = fake.calls("plugins install")
    assert call.split()[3:] == list(options)


def test_a_version_without_force_gets_the_older_plugin_out_of_its_way_and_back_when_it_refuses(tmp_path: Path) -> None:
    fake = Fake(tmp_path, OLD, reload=False)
    fake.gateway(_free_port())
    older = tmp_path / "extensions" / PLUGIN_ID
    older.mkdir()
    (older / "index.js").write_text("older")
    fake.fail("whatever the reason is", refuse=True)
    with pytest.raises(SetupError, match="whatever the reason is"):
        gateway_plugin.install(fake.openclaw, plugin_dir())
    assert (older / "index.js").read_text() == "older"


@pytest.mark.parametrize("words", ["still has active retained work", "etwas ganz anderes"])
def test_files_in_place_that_a_running_gateway_did_not_load_are_loaded_later(
    tmp_path: Path, gateway_port: int, words: str
) -> None:
    fake = Fake(tmp_path, NEW, reload=True)
    fake.gateway(gateway_port)
    fake.fail(words)
    assert gateway_plugin.install(fake.openclaw, plugin_dir()) is False
    with pytest.raises(CommandFailed, match=words):
        gateway_plugin.reload(fake.openclaw)
    (tmp_path / "fail").unlink()
    assert gateway_plugin.reload(fake.openclaw) is True
    assert fake.calls("plugins reload")[-1].endswith("--accept-capabilities")


def test_a_version_without_reload_is_not_asked_to(tmp_path: Path) -> None:
    fake = Fake(tmp_path, MIDDLE, reload=False)
    assert gateway_plugin.reload(fake.openclaw) is False
    assert fake.calls("plugins reload") == []


def test_uninstall_tries_again_removes_by_itself_and_fails_only_when_something_is_left(
    tmp_path: Path, gateway_port: int
) -> None:
    fake = Fake(tmp_path, NEW, reload=True)
    gateway_plugin.install(fake.openclaw, plugin_dir())
    fake.gateway(gateway_port)
    fake.fail("not now", refuse=True)
    gateway_plugin.uninstall(fake.openclaw, plugin_dir())
    assert len(fake.calls("plugins uninstall")) == 3
    assert not gateway_plugin.is_there(fake.openclaw)
    (tmp_path / "openclaw.json").write_text(json.dumps({"plugins": {"allow": [PLUGIN_ID]}}))
    with pytest.raises(CommandFailed, match="not now"):  # nor does it let the list be changed
        gateway_plugin.uninstall(fake.openclaw, plugin_dir())


@pytest.mark.parametrize(
    ("status", "restarts"),
    [
        ('banner\\n{"service": {"loaded": true}}', True),
        ('{"service": {"loaded": false, "loadedText": "enabled"}}', False),
        ('{"service": {}}', False),
        ("no JSON at all: service loaded, installed", False),
    ],
)
def test_the_gateways_service_is_restarted_where_there_is_one(tmp_path: Path, status: str, restarts: bool) -> None:
    script = tmp_path / "openclaw"
    script.write_text(f"#!/bin/sh\necho \"$*\" >> '{tmp_path}/calls'\n[ $2 != status ] || printf '{status}'\n")
    script.chmod(0o755)
    assert OpenClaw(str(script), tmp_path, tmp_path / "openclaw.json").restart_gateway() is restarts
    assert ("gateway restart" in (tmp_path / "calls").read_text().splitlines()) is restarts


@pytest.mark.parametrize(
    ("version", "flags"),
    [("2026.3.1", OLD), ("2026.6.11", MIDDLE), ("2026.8.2", NEW), ("2026.10.1", NEW), ("2027.1.1", NEW)],
)
def test_one_that_shows_no_help_is_judged_by_its_version(tmp_path: Path, version: str, flags: tuple[str, ...]) -> None:
    fake = Fake(tmp_path, NEW, reload=True)
    script = tmp_path / "openclaw"
    text = script.read_text().replace(
        'case "$*" in', f'case "$*" in\n  --version) echo "OpenClaw {version}";;\n  *--help) exit 1;;'
    )
    script.write_text(text)
    assert gateway_plugin.install(fake.openclaw, plugin_dir())
    assert fake.calls("plugins install") == [" ".join(("plugins install", str(plugin_dir()), *flags))]
    assert not gateway_plugin.reload(fake.openclaw)


def test_values_that_can_not_be_set_in_one_command_are_set_one_by_one(tmp_path: Path) -> None:
    fake = Fake(tmp_path, NEW, reload=True)
    script = tmp_path / "openclaw"
    script.write_text(
        script.read_text().replace(
            'case "$*" in', 'case "$*" in\n  --version) echo "OpenClaw 2026.9.6";;\n  *--batch-file*) exit 1;;'
        )
    )
    fake.openclaw.set_all({"a.b": 1, "a.c": "x"})
    assert fake.calls("config set a") == ["config set a.b 1 --strict-json", 'config set a.c "x" --strict-json']
    fake.fail("no")
    with pytest.raises(CommandFailed):
        fake.openclaw.set_all({"a.b": 1, "a.c": "x"})
