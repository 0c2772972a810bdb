"""A house behind NAT and a small server: both nats-servers of contrib/receive, a sidecar, `openclaw-nats receive`."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trustme

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.keys.making import public_half
from openclaw_nats.port_holder import free_port
from openclaw_nats.sources.schemes.catalog import SCHEMES
from tests.support.cluster import Server
from tests.support.processes import NATS_PASSWORD, Process, Sidecar, wait_until

FILES = Path(__file__).resolve().parents[2] / "contrib" / "receive"
HOUSE, DOOR = "secret-of-the-house", "secret-of-the-door"
SECRETS = {"gh": "a-secret-of-github", "pay": "a-secret-of-stripe"}


class ReceiverProcess(Process):
    """`openclaw-nats receive` in a folder of its own."""

    def __init__(self, folder: Path, nats_url: str, more: str = "") -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.key_file, self.config = folder / "vps.key", folder / "receive.toml"
        self.log = folder / "receive.log"
        self.known: dict[str, str] = {}
        self.head = (
            f'listen = "127.0.0.1:{self.port}"\n{more}\n[nats]\nurl = "{nats_url}"\nkey = "vps"\nkey_file = "vps.key"\n'
        )
        for name, secret in SECRETS.items():
            (folder / f"{name}.secret").write_text(secret + "\n")
            (folder / f"{name}.secret").chmod(0o600)
        self.write(("gh", "github"), ("pay", "stripe"))

    def write(self, *sources: tuple[str, str], more: str = "") -> None:
        """Its file, with these sources."""
        tables = [
            f'[[source]]\nname = "{name}"\ntype = "{kind}"\nsecret_file = "{name}.secret"\n' for name, kind in sources
        ]
        self.config.write_text(self.head + "".join(tables) + more)

    def run(self, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        done = subprocess.run(self.words(*options), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def words(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "openclaw_nats", "receive", "--config", str(self.config), *options]

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait` until the house takes events."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.words(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            wait_until(lambda: self.health() == 204, 30, "the receiver's health")

    def reload(self, what: str = "receiver.file_read") -> None:
        """SIGHUP, until it says that it has read its file."""
        before = self.log.read_text().count(what)
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.log.read_text().count(what) > before, 20, what)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it has logged under a name."""
        return [one for one in map(json.loads, self.log.read_text().splitlines()) if one.get("event") == event]

    def addresses(self) -> dict[str, str]:
        """The paths of its sources' addresses, as `--show` printed them first."""
        if not self.known:
            found = json.loads(self.run("--show", "--json").stdout)["sources"]
            self.known = {one["name"]: one["address"].partition(f":{self.port}")[2] for one in found}
        return self.known

    def health(self) -> int:
        status, _, body = self.request("GET", "/healthz")
        assert body == b""
        return status

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def signed(kind: str, body: bytes, secret: str, delivery: str = "d-1") -> dict[str, str]:
    """The headers of a request, as the provider makes them."""
    scheme = SCHEMES[kind]
    made = scheme.sign(body, secret, SourceOptions(), time.time(), delivery)
    return {"content-type": "application/json", **scheme.sample_headers, **made}


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """PEM files: a private CA, the small server's certificate, and its key."""
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1", "localhost")
    ca, certificate, key = folder / "ca.pem", folder / "vps.pem", folder / "vps-key.pem"
    authority.cert_pem.write_to_path(str(ca))
    pair.cert_chain_pems[0].write_to_path(str(certificate))
    pair.private_key_pem.write_to_path(str(key))
    return ca, certificate, key


class Receiving:
    """Both sides."""

    def __init__(self, folder: Path, vps_config: Path = FILES / "vps.conf") -> None:
        self.folder = folder
        ca, certificate, key = certificates(folder)
        leaves = free_port()
        self.link = {
            "VPS": f"tls://house:{HOUSE}@127.0.0.1:{leaves}",
            "VPS_CA": str(ca),
            "DOOR_PASSWORD": DOOR,
        }
        own = {"SIDECAR_PASSWORD": NATS_PASSWORD}
        self.house = Server(folder, "house", FILES / "house.conf", self.link | own)
        (folder / "door-password").write_text(DOOR)
        (folder / "door-password").chmod(0o600)
        config = (
            f'[receiver]\nkey = "vps"\nurl = "{self.house.url}"\nuser = "door"\n'
            f'password_file = "{folder / "door-password"}"\n'
        )
        self.sidecar = Sidecar(folder / "state", self.house, config)  # type: ignore[arg-type]
        self.vps = Server(
            folder,
            "vps",
            vps_config,
            {
                "NATS_LEAVES": f"127.0.0.1:{leaves}",
                "LEAF_CERTIFICATE": str(certificate),
                "LEAF_KEY": str(key),
                "HOUSE_PASSWORD": HOUSE,
            },
        )
        self.receiver = ReceiverProcess(folder / "receiver", self.vps.url)
        self.make_key("--publish", "webhook.>")

    def make_key(self, *rights: str) -> None:
        """The limited key `vps`, as the how-to makes it."""
        done = self.sidecar.command("keys", "add", "vps", *rights, "--file", str(self.receiver.key_file))
        assert done.returncode == 0, done.stdout + done.stderr
        public = public_half(self.receiver.key_file.read_text().strip())
        assert public in done.stdout
        self.vps.environment["RECEIVER_KEY"] = public

    def start(self) -> None:
        """Everything, the house last: it dials."""
        self.vps.start()
        self.house.start()
        self.sidecar.start()
        self.receiver.start()

    def send(self, name: str, kind: str, body: bytes, delivery: str = "d-1", **headers: str) -> tuple[int, Any]:
        """One delivery, signed; status and answer."""
        sent = signed(kind, body, SECRETS[name], delivery) | headers
        status, _, answer = self.receiver.request("POST", self.receiver.addresses()[name], body, sent)
        return status, json.loads(answer) if answer else None

    def stored(self, subject: str = "agent.events.webhook.>") -> list[dict[str, Any]]:
        """What the house has stored, each with its origin."""
        answer = self.sidecar.request("GET", f"/api/events?subject={subject.replace('>', '%3E')}&numbered=true")
        assert answer[0] == 200, answer
        return [json.loads(line) for line in answer[2].splitlines() if line.strip()]

    def close(self) -> None:
        """End everything."""
        for one in (self.receiver, self.sidecar, self.house, self.vps):
            if one.process is not None and one.process.poll() is None:
                os.kill(one.process.pid, signal.SIGCONT)
            one.close()
