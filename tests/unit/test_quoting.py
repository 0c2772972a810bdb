"""What we write into other programs' files is read by those programs as it was meant."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from openclaw_nats.installer import nats_server, services
from openclaw_nats.installer.config_file import set_values
from openclaw_nats.installer.services import SystemdUser
from openclaw_nats.locations import Locations
from openclaw_nats.service.nats_config import render
from openclaw_nats.service.quoting import nats_string, systemd_command, systemd_word
from openclaw_nats.settings import load

ODD = ["jörg", "日本", "🦀", "a b", "q\"uo'te", "back\\slash", "50%b", "$HOME x", "semi;#{}[]", "tab\tnew\nline", "a:b"]


@pytest.mark.parametrize("name", [*ODD, b"latin-\xfc".decode("utf-8", "surrogateescape")])
def test_nats_server_takes_any_directory_and_any_gateway_id(tmp_path: Path, name: str) -> None:
    home = tmp_path / name / "nats"
    home.mkdir(parents=True)
    password = tmp_path / "password"
    password.write_text("secret $ ü\n")
    environment = {
        "OPENCLAW_NATS_GATEWAY_ID": "Küche & 🦀",
        "OPENCLAW_NATS_NATS_PASSWORD_FILE": str(password),
    }
    file = tmp_path / "nats-server.conf"
    file.write_text(render(load(home, environment)))
    done = subprocess.run(
        [str(nats_server.find()[0]), "-t", "-c", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_name_in_nats_servers_configuration_is_the_one_that_was_meant(tmp_path: Path) -> None:
    folder = tmp_path / 'jörg 🦀 "x" \\ $HOME'
    file = tmp_path / "nats-server.conf"
    log = folder / "server.log"
    folder.mkdir()
    file.write_text(f"listen: 127.0.0.1:-1\nlog_file: {nats_string(str(log))}\n")
    server = subprocess.Popen([str(nats_server.find()[0]), "-c", str(file)])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(0.5)
        assert "Server is ready" in log.read_text()
    finally:
        server.kill()
        server.wait()


def systemd_words(line: str) -> list[str]:
    """What systemd makes of the words of a line, as systemd.syntax(7) and systemd.unit(5) say."""
    words, word, at, quote = [], "", 0, ""
    while at < len(line):
        one = line[at]
        if one == "\\":
            step = 4 if line[at + 1] == "x" else 2
            word += chr(int(line[at + 2 : at + 4], 16)) if step == 4 else line[at + 1]
            at += step
            continue
        if one == quote:
            quote = ""
        elif not quote and one in "\"'":
            quote = one
        elif not quote and one == " ":
            words.append(word)
            word = ""
        else:
            word += one
        at += 1
    return [one.replace("%%", "%") for one in [*words, word]]


@pytest.mark.parametrize("name", ODD)
def test_systemd_gets_the_words_that_were_meant(name: str) -> None:
    command = [f"/home/{name}/python", "-m", "openclaw_nats", name]
    program, *arguments = systemd_words(systemd_command(command))
    arguments = [one.replace("$$", "$") for one in arguments]
    assert command == (arguments if program == "/usr/bin/env" else [program, *arguments])
    assert systemd_words(systemd_word(f"NAME={name}")) == [f"NAME={name}"]


@pytest.mark.parametrize("name", ODD)
def test_the_unit_of_any_directory_is_one_that_systemd_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    python = tmp_path / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path / name))
    unit = tmp_path / "one.service"
    unit.write_text(SystemdUser(Locations(tmp_path / name / "nats")).text())
    parsed = configparser.ConfigParser(strict=True, interpolation=None, comment_prefixes=("#",))
    parsed.read(unit)
    assert parsed["Service"]["Environment"] == systemd_word(f"OPENCLAW_STATE_DIR={tmp_path / name}")
    if (found := services.shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not on this machine")
    done = subprocess.run(
        [found, "--user", "verify", str(unit)],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [*ODD[:-2], "a:b", "del\x7f"])
def test_a_setting_with_any_text_is_written_as_toml_that_can_be_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf# mine\n[gateway]\nid = 'x'\n")
    assert set_values(path, {"nats.password_file": f"/home/{name}/p", "gateway.id": "Küche"})
    found = tomllib.loads(path.read_text("utf-8"))
    assert (found["nats"]["password_file"], found["gateway"]["id"]) == (f"/home/{name}/p", "Küche")
    assert load(tmp_path, {}).nats.password_file == f"/home/{name}/p"
