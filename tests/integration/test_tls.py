"""TLS at the sidecar's address, with real certificates; and nothing beyond loopback without it, but who insists."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from openclaw_nats.demo.provision import cache_dir, provision_node
from openclaw_nats.port_holder import free_port
from tests.support.impostor import Impostor
from tests.support.installation import Installation
from tests.support.mqtt import MqttClient
from tests.support.processes import API_KEY, NatsServer, Sidecar, wait_until

ROOT = Path(__file__).parent.parent.parent
NAME = "bus.example.org"  # not the name of this machine: plugin and commands come all the same


class Files:
    """The certificate's files, made by an authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = folder / "bus.pem", folder / "bus.key"
        self.write()

    def write(self, **more: Any) -> None:
        issued = self.authority.issue_cert(NAME, **more)
        content = b"".join(one.bytes() for one in issued.cert_chain_pems)
        for path, text in ((self.key, issued.private_key_pem.bytes()), (self.certificate, content)):
            temporary = path.with_suffix(".new")
            temporary.write_bytes(text)
            temporary.chmod(0o600)
            temporary.replace(path)

    def table(self) -> str:
        return f'tls_certificate = "{self.certificate}"\ntls_key = "{self.key}"\n'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def secure(tmp_path: Path, nats: NatsServer, files: Files) -> Iterator[Sidecar]:
    """A sidecar that speaks TLS."""
    one = Sidecar(tmp_path / "state", nats)
    one.set(files.table())
    one.start(wait=False)
    wait_until(lambda: status(one, files) == 200, 20, "the sidecar")
    yield one
    one.close()


def link_to(sidecar: Sidecar, files: Files) -> http.client.HTTPSConnection:
    """A connection of a program elsewhere, which trusts the authority and asks for the name."""
    context = ssl.create_default_context()
    files.authority.configure_trust(context)
    link = http.client.HTTPSConnection(NAME, sidecar.port, timeout=10, context=context)
    plain = socket.create_connection(("127.0.0.1", sidecar.port), timeout=10)
    link.sock = context.wrap_socket(plain, server_hostname=NAME)
    return link


def status(sidecar: Sidecar, files: Files, path: str = "/api/health") -> int:
    try:
        link = link_to(sidecar, files)
    except OSError:
        return 0
    try:
        link.request("GET", path, headers={"Authorization": f"Bearer {API_KEY}"})
        answer = link.getresponse()
        answer.read()
        return answer.status
    finally:
        link.close()


def serial(sidecar: Sidecar, files: Files) -> str:
    link = link_to(sidecar, files)
    try:
        return str(link.sock.getpeercert()["serialNumber"])
    finally:
        link.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_the_port_speaks_tls_and_nothing_else(secure: Sidecar, files: Files) -> None:
    assert status(secure, files, "/api/routes") == 200
    with socket.create_connection(("127.0.0.1", secure.port), timeout=15) as plain:
        plain.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not plain.recv(4096).startswith(b"HTTP")
    old = ssl.create_default_context()
    files.authority.configure_trust(old)
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.minimum_version = ssl.TLSVersion.TLSv1
    with socket.create_connection(("127.0.0.1", secure.port), timeout=10) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname=NAME)


def test_commands_and_plugin_come_by_it_whatever_the_name_is_and_prove_the_key(secure: Sidecar) -> None:
    assert secure.command("routes").returncode == 0
    (secure.home / "run" / "sidecar.sock").unlink()  # as where there are no Unix sockets
    done = secure.command("publish", "custom.by-tls", "1")
    assert done.returncode == 0, done.stderr
    assert "custom.by-tls" in secure.command("events").stdout
    settings = json.loads((secure.home / "plugin.json").read_text())
    assert settings["sidecarUrl"] == f"https://127.0.0.1:{secure.port}"
    script = f"""
      import {{ Sidecar }} from "{ROOT}/plugin/sidecar.js";
      import {{ Way }} from "{ROOT}/plugin/way.js";
      const settings = {json.dumps(settings)};
      const way = new Way({json.dumps(str(secure.home))}, () => settings);
      const one = new Sidecar({{ settings: () => settings, apiKey: () => "{API_KEY}", way }});
      for (const alone of [false, false, true]) {{
        const body = JSON.stringify({{ subject: "agent.events.custom.by-plugin", payload: 1 }});
        const answer = await one.postJson("/api/publish", body, {{ alone }});
        if (answer.status !== 200) throw new Error(answer.body);
      }}
      one.close();
    """
    node = provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"
    done = subprocess.run(
        [node, "--input-type=module", "-e", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert secure.command("events").stdout.count("custom.by-plugin") == 3


def test_who_has_the_port_with_a_certificate_of_its_own_hears_nothing(secure: Sidecar, tmp_path: Path) -> None:
    secure.kill()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    other = Files(theirs)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.certificate, other.key)
    with Impostor(secure.port, context) as impostor:
        done = secure.command("routes", "--json")
        assert done.returncode == 1
        assert "does not prove" in done.stdout
    heard = impostor.heard
    assert b"/api/proof" in heard
    assert API_KEY.encode() not in heard
    assert b"uthorization" not in heard


def test_new_files_are_taken_without_a_restart_and_broken_ones_are_not(secure: Sidecar, files: Files) -> None:
    first = serial(secure, files)
    kept = link_to(secure, files)
    files.write()
    wait_until(lambda: serial(secure, files) != first, 10, "the new certificate")
    second = serial(secure, files)
    good = files.certificate.read_bytes()
    log = secure.home / "logs" / "sidecar.log"
    for broken in (b"", b"no pem", files.authority.issue_cert("other.example.org").cert_chain_pems[0].bytes()):
        said = log.read_text().count("tls.not_reloaded")
        files.certificate.write_bytes(broken)
        wait_until(lambda said=said: log.read_text().count("tls.not_reloaded") > said, 10, "the log")  # type: ignore[misc]
        assert serial(secure, files) == second
    files.certificate.unlink()
    time.sleep(1.5)
    assert serial(secure, files) == second
    files.certificate.write_bytes(good)
    kept.request("GET", "/api/routes", headers={"Authorization": f"Bearer {API_KEY}"})  # as it was before all that
    assert kept.getresponse().status == 200
    kept.close()


def test_clients_that_do_not_finish_their_handshake_keep_nobody_out(secure: Sidecar, files: Files) -> None:
    links = [socket.create_connection(("127.0.0.1", secure.port)) for _ in range(200)]
    try:
        assert status(secure, files) == 200
        links[0].settimeout(15)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert links[0].recv(1) == b""
        assert time.monotonic() - began < 13
    finally:
        for link in links:
            link.close()


def test_too_many_unfinished_handshakes_end_the_oldest(secure: Sidecar, files: Files) -> None:
    secure.signal(signal.SIGTERM)
    secure.set("max_connections = 16")
    secure.start(wait=False)
    wait_until(lambda: status(secure, files) == 200, 20, "the sidecar")
    links = [socket.create_connection(("127.0.0.1", secure.port)) for _ in range(40)]
    try:
        for link in links[:20]:  # at once, and not after the handshake's ten seconds
            link.settimeout(3)
            with contextlib.suppress(ConnectionError):
                assert link.recv(1) == b""
        links[-1].settimeout(0.5)
        with pytest.raises(TimeoutError):
            links[-1].recv(1)
        assert status(secure, files) == 200
    finally:
        for link in links:
            link.close()
    began = time.monotonic()
    waiting = socket.create_connection(("127.0.0.1", secure.port))
    secure.signal(signal.SIGTERM)  # which waits for no handshake
    assert time.monotonic() - began < 5
    waiting.close()


def address_beyond_loopback() -> str:
    """An address of this machine that others could reach; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))
        return str(one.getsockname()[0])


def test_at_one_address_beyond_loopback_nobody_else_gets_the_port_on_loopback(
    sidecar: Sidecar, nats: NatsServer, tmp_path: Path
) -> None:
    """Who held it could pass on to us what plugin and commands say, and hear it."""
    address = address_beyond_loopback()
    assert not address.startswith("127.")
    one = Sidecar(tmp_path / "lan", nats, '[gateway]\nid = "lan"\n')
    one.set(f'host = "{address}"\nplain_http = true')
    with Impostor(one.port) as impostor:
        one.start(wait=False)
        assert one.process is not None
        assert one.process.wait(20) == 1
        assert f"can't listen on 127.0.0.1 port {one.port}" in (one.home / "sidecar.out").read_text()
        assert not impostor.heard
    one.start()
    try:
        with pytest.raises(OSError, match="in use"), Impostor(one.port):
            pass
        for host in ("127.0.0.1", address):
            link = http.client.HTTPConnection(host, one.port, timeout=10)
            link.request("GET", "/api/routes", headers={"Authorization": f"Bearer {API_KEY}"})
            assert link.getresponse().status == 200
            link.close()
    finally:
        one.close()


def sealed_key(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    files.key.write_bytes(key.private_bytes(*form))


def swap(files: Files) -> None:
    both = files.certificate.read_bytes(), files.key.read_bytes()
    files.key.write_bytes(both[0])
    files.certificate.write_bytes(both[1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda files: files.certificate.unlink(), "No such file"),
        (lambda files: files.key.write_bytes(b""), "can't be used"),
        (lambda files: files.certificate.write_bytes(os.urandom(4000)), "can't be used"),
        (sealed_key, "pass phrase"),
        (swap, "can't be used"),
        (lambda files: shutil.copy(trustme_key(files), files.key), "mismatch"),
    ],
    ids=["missing", "empty", "noise", "pass phrase", "swapped", "another key"],
)
def test_files_that_can_not_be_used_are_named(
    nats: NatsServer, files: Files, tmp_path: Path, spoil: Any, said: str
) -> None:
    spoil(files)
    one = Sidecar(tmp_path / "state", nats)
    one.set(files.table())
    one.start(wait=False)
    try:
        assert one.process is not None
        assert one.process.wait(20) == 1
        out = (one.home / "sidecar.out").read_text()
        assert said in out, out
        assert str(files.certificate) in out
        assert "Traceback" not in out
    finally:
        one.close()


def trustme_key(files: Files) -> Path:
    other = files.key.with_name("other.key")
    other.write_bytes(files.authority.issue_cert("other.example.org").private_key_pem.bytes())
    return other


def test_beyond_loopback_without_tls_is_refused_with_the_way_to_insist(
    sidecar: Sidecar, nats: NatsServer, tmp_path: Path, files: Files
) -> None:
    before = (sidecar.home / "config.toml").read_bytes()
    for host in ("0.0.0.0", "::", "192.0.2.7", "bus.example.org"):  # noqa: S104
        done = sidecar.command("config", "set", "sidecar.host", host)
        assert done.returncode != 0
        for word in (host, "TLS", "sidecar.tls_certificate", "sidecar.tls_proxy", "sidecar.plain_http true"):
            assert word in " ".join(done.stderr.split()), done.stderr
    assert (sidecar.home / "config.toml").read_bytes() == before
    assert sidecar.command("config", "set", "sidecar.host", "127.0.0.1").returncode == 0
    one = Sidecar(tmp_path / "other", nats, '[gateway]\nid = "other"\n')
    one.set('host = "0.0.0.0"')
    one.start(wait=False)
    assert one.process is not None
    assert one.process.wait(20) == 1
    assert "sidecar.plain_http true" in (one.home / "sidecar.out").read_text()
    for name, value in (
        ("plain_http", "true"),
        ("tls_proxy", '"https://bus.example.org"'),
        ("tls_certificate", f'"{files.certificate}"\ntls_key = "{files.key}"'),
    ):
        two = Sidecar(tmp_path / name, nats, f'[gateway]\nid = "{name.replace("_", "-")}"\n')
        two.set(f'host = "0.0.0.0"\n{name} = {value}')
        two.start(wait=False)
        try:
            wait_until(lambda two=two: two.command("routes").returncode == 0, 30, "the sidecar")  # type: ignore[misc]
            assert two.process is not None
            assert two.process.poll() is None, (two.home / "sidecar.out").read_text()
        finally:
            two.close()


def test_it_is_set_by_config_and_half_of_it_is_refused(sidecar: Sidecar, files: Files) -> None:
    done = sidecar.command("config", "set", "sidecar.tls_certificate", str(files.key))
    assert done.returncode == 0, done.stderr  # the key is not there yet: nothing can be looked at
    assert "once sidecar.tls_key is set" in done.stdout
    sidecar.signal(signal.SIGTERM)
    sidecar.start()  # half of it stops nothing: it speaks no TLS yet
    assert sidecar.get("/api/routes")[0] == 200
    assert [state for state, text in findings(sidecar) if "sidecar.tls_key is not set" in text] == ["problem"]
    assert sidecar.command("config", "set", "sidecar.host", "0.0.0.0").returncode != 0  # noqa: S104
    done = sidecar.command("config", "set", "sidecar.tls_key", str(files.key))
    assert done.returncode != 0
    assert "can't be used" in done.stderr
    assert sidecar.command("config", "set", "sidecar.tls_certificate", str(files.certificate)).returncode == 0
    assert sidecar.command("config", "set", "sidecar.tls_key", str(files.key)).returncode == 0
    assert sidecar.command("config", "set", "sidecar.host", "0.0.0.0").returncode == 0  # noqa: S104


def findings(sidecar: Sidecar) -> list[tuple[str, str]]:
    answer = json.loads(sidecar.command("doctor", "--json").stdout)
    return [(one["state"], one["text"]) for one in answer["findings"] if one["check"] == "tls"]


def test_doctor_looks_at_the_certificate(secure: Sidecar, files: Files) -> None:
    ((state, text),) = findings(secure)
    assert state == "ok"
    assert "more days" in text
    before = serial(secure, files)
    now = datetime.datetime.now(datetime.UTC)
    files.write(not_after=now + datetime.timedelta(days=3))
    wait_until(lambda: serial(secure, files) != before, 10, "the new certificate")
    ((state, text),) = findings(secure)
    assert (state, "2 more days" in text) == ("note", True)
    files.write(not_before=now - datetime.timedelta(days=9), not_after=now - datetime.timedelta(days=1))
    time.sleep(2.5)
    ((state, text),) = findings(secure)
    assert (state, "has expired" in text) == ("problem", True)
    files.key.chmod(0o644)
    assert ("problem", f"{files.key} can be read by others") in findings(secure)


# paho leaves the connection of a certificate that it does not trust to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mqtt_leaves_loopback_by_tls_or_by_your_word_and_follows_the_certificate(tmp_path: Path, files: Files) -> None:
    """nats-server has the sidecar's certificate; the sidecar comes to it by exactly that one."""
    one, port = Installation(tmp_path / "state"), free_port()
    one.start()

    def home_assistant() -> dict[str, Any]:
        return dict(one.run("status", code=3)["mqtt"]["homeAssistant"])

    try:
        one.run("config", "set", "mqtt.home_assistant", "true")
        one.run("config", "set", "mqtt.port", str(port))
        answer = one.run("config", "set", "mqtt.host", "0.0.0.0", code=2)  # noqa: S104
        assert "there is no TLS" in answer["error"]
        assert "mqtt.plain true" in answer["hint"]
        one.run("config", "set", "sidecar.tls_certificate", str(files.certificate))
        one.run("config", "set", "sidecar.tls_key", str(files.key))
        one.run("config", "set", "mqtt.host", "0.0.0.0")  # noqa: S104
        answer = one.run("config", "set", "sidecar.tls_key", "", code=2)
        assert "mqtt.host is 0.0.0.0" in answer["error"]
        made = one.run("keys", "add", "door", "--mqtt", "--publish", "custom.door")["mqtt"]

        def let_in() -> bool:
            authority = tmp_path / "ca.pem"
            authority.write_bytes(files.authority.cert_pem.bytes())
            client = MqttClient(port, made["user"], made["password"])
            client.paho.tls_set(str(authority))
            client.paho.tls_insecure_set(True)  # the name is another one; the chain is checked
            with client:
                return client.answer == "Success"

        wait_until(let_in, 20, "a client by TLS")
        wait_until(lambda: home_assistant()["connected"], 20, "the sidecar by TLS")
        with pytest.raises(AssertionError), MqttClient(port, made["user"], made["password"]):
            pass
        files.authority = trustme.CA()
        files.write()
        wait_until(let_in, 30, "the new certificate")
        wait_until(lambda: home_assistant()["connected"], 30, "the sidecar by the new one")
        one.run("config", "set", "mqtt.plain", "true")
        one.run("config", "set", "sidecar.tls_key", "")
        found = [each for each in one.run("doctor", code=3)["findings"] if each["check"] == "mqtt"]
        assert any("without TLS" in each["text"] for each in found)
    finally:
        one.stop()
