"""The sidecar's Unix socket: commands and plugin come by it, nobody else can, and without it the address is the way."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from openclaw_nats.api.ingest_endpoints import MAX_BATCH_BYTES
from openclaw_nats.cli.local_way import LocalConnection
from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarRefusal
from openclaw_nats.service.local_socket import LONGEST
from openclaw_nats.settings import load
from tests.support.impostor import Impostor
from tests.support.installation import Installation
from tests.support.processes import API_KEY, NatsServer, Sidecar, wait_until

# A command that says to which addresses it connects.
TRACED = """
import sys
sys.addaudithook(lambda event, what: event == "socket.connect" and print("connects", repr(what[1]), file=sys.stderr))
from openclaw_nats.cli.main import main
main()
"""


def place(sidecar: Sidecar) -> Path:
    return sidecar.home / "run" / "sidecar.sock"


def command(sidecar: Sidecar, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return sidecar.command(*words, timeout=timeout)


def by_socket(sidecar: Sidecar, path: str, key: str = "") -> tuple[int, bytes]:
    link = LocalConnection(str(place(sidecar)), 10)
    try:
        link.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


def test_it_is_for_its_user_alone_and_needs_the_key_all_the_same(sidecar: Sidecar) -> None:
    assert stat.S_IMODE(place(sidecar).stat().st_mode) == 0o600
    assert stat.S_IMODE(place(sidecar).parent.stat().st_mode) == 0o700
    assert by_socket(sidecar, "/api/routes")[0] == 401
    assert by_socket(sidecar, "/api/routes", "wrong-key-0123456789")[0] == 401
    assert by_socket(sidecar, "/api/routes", API_KEY)[0] == 200
    assert by_socket(sidecar, "/api/health")[0] == 200


def test_commands_come_by_it_and_say_nothing_at_the_address(sidecar: Sidecar, tmp_path: Path) -> None:
    traced = subprocess.run(
        [sys.executable, "-c", TRACED, "routes", "--json"],
        env=sidecar.environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert traced.stderr.split() == ["connects", repr(str(place(sidecar)))]
    done = command(sidecar, "publish", "custom.a", '"' + "x" * 100_000 + '"')
    assert done.returncode == 0, done.stderr
    assert "custom.a" in command(sidecar, "events").stdout
    tail = subprocess.Popen(
        [sys.executable, "-m", "openclaw_nats", "tail", "--json"],
        env=sidecar.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert tail.stdout is not None
    try:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(tail.stdout or []), daemon=True)
        reader.start()

        def heard() -> bool:
            sidecar.publish("agent.events.custom.tailed", 1)
            return any("custom.tailed" in line for line in lines)

        wait_until(heard, 20, "tail to print")
    finally:
        tail.kill()
        tail.wait()
        reader.join(10)
        tail.stdout.close()


def test_an_answer_before_all_was_sent_is_heard(sidecar: Sidecar) -> None:
    client = SidecarClient(load(sidecar.home, {}))
    for _ in range(20):
        with pytest.raises(SidecarRefusal) as refused:
            client.post_lines(b"x" * (MAX_BATCH_BYTES + 1_000_000))
        assert refused.value.status == 413


def test_after_a_kill_nobody_is_told_anything_and_the_next_one_listens_again(sidecar: Sidecar) -> None:
    sidecar.kill()
    assert place(sidecar).exists()  # kill -9 leaves it
    with Impostor(sidecar.port) as stranger:
        done = command(sidecar, "routes", "--json")
        assert done.returncode in (1, 3), done.stdout
    assert API_KEY.encode() not in stranger.heard
    assert b"uthorization" not in stranger.heard
    done = command(sidecar, "routes", "--json")
    assert done.returncode == 3
    assert "does not answer" in done.stdout
    sidecar.start()
    assert by_socket(sidecar, "/api/routes", API_KEY)[0] == 200
    assert command(sidecar, "routes").returncode == 0
    assert sidecar.process is not None
    sidecar.process.send_signal(signal.SIGTERM)
    sidecar.process.wait(20)
    assert not place(sidecar).exists()


def test_where_others_may_write_or_the_path_is_too_long_the_address_is_the_way(
    nats: NatsServer, tmp_path: Path
) -> None:
    open_one = Sidecar(tmp_path / "open", nats)
    folder = open_one.home / "run"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    long_one = Sidecar(tmp_path / ("long" + "x" * LONGEST), nats, '[gateway]\nid = "long"\n')
    for one, why in ((open_one, "others may write"), (long_one, "longer than")):
        one.start()
        try:
            assert not place(one).exists()
            log = (one.home / "logs" / "sidecar.log").read_text()
            assert "no_local_socket" in log
            assert why in log
            assert command(one, "routes").returncode == 0
        finally:
            one.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_socket_of_another_user_is_not_used(sidecar: Sidecar) -> None:
    os.chown(place(sidecar), 12345, 12345)
    assert command(sidecar, "routes").returncode == 0  # by the address
    sidecar.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    try:
        place(sidecar).unlink()
        theirs = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            theirs.bind(str(place(sidecar)))
            theirs.listen()
            theirs.settimeout(0.5)
            os.chown(place(sidecar), 12345, 12345)
            command(sidecar, "status", "--json", timeout=90)
            with pytest.raises(TimeoutError):
                theirs.accept()
    finally:
        sidecar.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]


def test_an_address_that_is_said_or_leads_elsewhere_is_asked(sidecar: Sidecar) -> None:
    done = sidecar.command("routes", "--json", OPENCLAW_NATS_SIDECAR_URL="http://127.0.0.1:9")
    assert done.returncode == 3
    config = sidecar.home / "config.toml"
    text = config.read_text()
    config.write_text(text.replace(f'url = "{sidecar.url}"', 'url = "http://127.0.0.1:9"', 1))
    assert "http://127.0.0.1:9" in config.read_text()
    done = command(sidecar, "routes", "--json")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stdout


def test_strangers_at_the_port_do_not_keep_commands_out(nats: NatsServer, tmp_path: Path) -> None:
    one = Sidecar(tmp_path / "few", nats)
    one.set("max_connections = 16")
    one.start()
    links = []
    try:
        links = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(40)]
        assert command(one, "routes").returncode == 0
        assert by_socket(one, "/api/routes", API_KEY)[0] == 200
    finally:
        for link in links:
            link.close()
        one.close()


def test_a_rotated_key_ends_what_the_old_one_opened_here_too(tmp_path: Path) -> None:
    installed = Installation(tmp_path / "state")
    installed.start()
    try:
        old = (installed.home / "api-key").read_text().strip()
        link = LocalConnection(str(installed.home / "run" / "sidecar.sock"), 10)
        link.request("GET", "/api/routes", headers={"Authorization": f"Bearer {old}"})
        link.getresponse().read()
        installed.run("key", "rotate")
        try:
            link.request("GET", "/api/routes", headers={"Authorization": f"Bearer {old}"})
            status = link.getresponse().status
        except (OSError, http.client.HTTPException):
            status = 401
        assert status == 401
        link.close()
        assert installed.run("routes") == {"routes": []}
    finally:
        installed.stop()
